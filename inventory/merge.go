package inventory

// mergeTrees lays over upon base: mappings merge key by key, hosts merge by name, all else is replaced.
// Either may be nil. base is changed and returned.
func mergeTrees(base, over *node) *node {
	switch {
	case base == nil || base.kind == null:
		return over
	case over == nil || over.kind == null:
		return base
	case base.kind != mapping || over.kind != mapping:
		return over
	}
	for _, p := range over.pairs {
		at := -1
		for i := range base.pairs {
			if base.pairs[i].key.text == p.key.text {
				at = i
			}
		}
		switch {
		case at < 0:
			base.pairs = append(base.pairs, p)
		case p.key.text == "hosts":
			base.pairs[at].value = mergeHosts(base.pairs[at].value, p.value)
		default:
			base.pairs[at] = pair{p.key, mergeTrees(base.pairs[at].value, p.value)}
		}
	}
	return base
}

// mergeHosts lays the hosts of over upon those of base: one of the same name is merged, others are appended.
func mergeHosts(base, over *node) *node {
	if base.kind != sequence || over.kind != sequence {
		return mergeTrees(base, over)
	}
	known := len(base.items)
	for _, h := range over.items {
		at := -1
		for i := 0; i < known && at < 0; i++ {
			if name := hostName(h); name != "" && hostName(base.items[i]) == name {
				at = i
			}
		}
		if at < 0 {
			base.items = append(base.items, h)
		} else {
			base.items[at] = mergeTrees(base.items[at], h)
		}
	}
	return base
}

// hostName is what a host entry is called: its name, else its address, else "".
func hostName(h *node) string {
	for _, key := range []string{"name", "address"} {
		if n := h.get(key); n != nil && n.kind == scalar {
			return n.text
		}
	}
	return ""
}
