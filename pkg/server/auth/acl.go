package auth

import (
	"slices"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// Allowed tells whether somebody with these identities holds perm, or one bit
// of it, on a znode with this ACL. Without an ACL everybody does.
func (p *Policy) Allowed(acl []proto.ACL, perm int32, ids []proto.ID) bool {
	if p.cfg.SkipACL || len(acl) == 0 || isSuper(ids) {
		return true
	}
	for i := range acl {
		e := &acl[i]
		if e.Perms&perm != 0 && (isAnyone(e.ID) || p.isMeant(e.ID, ids)) {
			return true
		}
	}
	return false
}

// Check is Allowed as an error: nil or [proto.ErrNoAuth].
func (p *Policy) Check(acl []proto.ACL, perm int32, ids []proto.ID) error {
	if p.Allowed(acl, perm, ids) {
		return nil
	}
	return proto.ErrNoAuth
}

func isSuper(ids []proto.ID) bool {
	for i := range ids {
		if ids[i].Scheme == "super" {
			return true
		}
	}
	return false
}

func isAnyone(id proto.ID) bool { return id.Scheme == "world" && id.ID == "anyone" }

// isMeant tells whether an ACL's id stands for one of ids. An id of a scheme
// that is not offered stands for nobody.
func (p *Policy) isMeant(id proto.ID, ids []proto.ID) bool {
	s, ok := p.schemes[id.Scheme]
	if !ok {
		return false
	}
	for i := range ids {
		if ids[i].Scheme == id.Scheme && s.matches(ids[i].ID, id.ID) {
			return true
		}
	}
	return false
}

// Fix turns the ACL of a create or setACL request into the one to store:
// "auth" becomes the client's own identities, what stands twice goes before
// that, and what no scheme accepts is [proto.ErrInvalidACL].
func (p *Policy) Fix(acl []proto.ACL, ids []proto.ID) ([]proto.ACL, error) {
	if len(acl) == 0 {
		return nil, proto.ErrInvalidACL
	}
	out := make([]proto.ACL, 0, len(acl))
	for i, e := range acl {
		if slices.Contains(acl[:i], e) {
			continue
		}
		s, offered := p.schemes[e.ID.Scheme]
		switch {
		case isAnyone(e.ID), offered && s.valid(e.ID.ID):
			out = append(out, e)
		case e.ID.Scheme == "auth":
			n := len(out)
			if out = p.appendCreators(out, e.Perms, ids); n == len(out) {
				return nil, proto.ErrInvalidACL
			}
		default:
			return nil, proto.ErrInvalidACL
		}
	}
	return out, nil
}

// appendCreators adds an entry for each identity that stands for somebody.
func (p *Policy) appendCreators(out []proto.ACL, perms int32, ids []proto.ID) []proto.ACL {
	for _, id := range ids {
		if p.schemes[id.Scheme].creator {
			out = append(out, proto.ACL{Perms: perms, ID: id})
		}
	}
	return out
}

// Mask is what getACL shows to a client without ADMIN: x for the hashes of
// digests (CVE-2019-0201).
func Mask(acl []proto.ACL) []proto.ACL {
	out := slices.Clone(acl)
	for i, e := range out {
		if user, _, ok := strings.Cut(e.ID.ID, ":"); ok && e.ID.Scheme == "digest" {
			out[i].ID.ID = user + ":x"
		}
	}
	return out
}
