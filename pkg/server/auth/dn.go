package auth

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
)

// An attribute of a name: one "CN=zk1".
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// An attributeSET is a part of a name. Its own name tells encoding/asn1 that it
// is a SET.
type attributeSET []attribute

// DistinguishedName writes a DER-encoded X.500 name in the form of RFC 2253, to
// the letter as Java's X500Principal.getName does: ACLs are compared with it as
// text. The last part of the name comes first.
func DistinguishedName(der []byte) (string, error) {
	var name []attributeSET
	if rest, err := asn1.Unmarshal(der, &name); err != nil {
		return "", fmt.Errorf("the certificate's subject cannot be read: %w", err)
	} else if len(rest) > 0 {
		return "", errors.New("the certificate's subject cannot be read: bytes behind it")
	}
	var b strings.Builder
	for i := len(name) - 1; i >= 0; i-- {
		for j, a := range name[i] {
			if j > 0 {
				b.WriteByte('+')
			}
			a.write(&b)
		}
		if i > 0 {
			b.WriteByte(',')
		}
	}
	return b.String(), nil
}

// write adds "CN=value", or "1.2.3=#hex" for a type that RFC 2253 has no name
// for and for a value that is no text.
func (a *attribute) write(b *strings.Builder) {
	keyword := shortName(a.Type.String())
	text, isText := decodeText(a.Value)
	if keyword == "" {
		keyword, isText = a.Type.String(), false
	}
	b.WriteString(keyword + "=")
	if isText {
		b.WriteString(escape(text))
		return
	}
	b.WriteString("#" + hex.EncodeToString(a.Value.FullBytes))
}

// shortName is the name that RFC 2253 gives to an attribute; "" for none.
func shortName(oid string) string {
	switch oid {
	case "2.5.4.3":
		return "CN"
	case "2.5.4.6":
		return "C"
	case "2.5.4.7":
		return "L"
	case "2.5.4.8":
		return "ST"
	case "2.5.4.10":
		return "O"
	case "2.5.4.11":
		return "OU"
	case "2.5.4.9":
		return "STREET"
	case "0.9.2342.19200300.100.1.25":
		return "DC"
	case "0.9.2342.19200300.100.1.1":
		return "UID"
	}
	return ""
}

// decodeText reads the kinds of text that names are made of.
func decodeText(v asn1.RawValue) (string, bool) {
	if v.Class != asn1.ClassUniversal {
		return "", false
	}
	switch v.Tag {
	case asn1.TagUTF8String:
		return string([]rune(string(v.Bytes))), true
	case asn1.TagPrintableString, asn1.TagT61String, asn1.TagIA5String, asn1.TagGeneralString:
		out := make([]rune, len(v.Bytes)) // ISO 8859-1
		for i, c := range v.Bytes {
			out[i] = rune(c)
		}
		return string(out), true
	case asn1.TagBMPString:
		units := make([]uint16, len(v.Bytes)/2)
		for i := range units {
			units[i] = uint16(v.Bytes[2*i])<<8 | uint16(v.Bytes[2*i+1])
		}
		return string(utf16.Decode(units)), true
	}
	return "", false
}

// escape writes a value so that it can be read again: a backslash before what
// separates, and before blanks at either end.
func escape(text string) string {
	var b strings.Builder
	begin := len(text) - len(strings.TrimLeft(text, " \r"))
	end := len(strings.TrimRight(text, " \r"))
	for i, r := range text {
		switch {
		case r == 0:
			b.WriteString(`\00`)
			continue
		case strings.ContainsRune(`,=+<>#;"\`, r), i < begin, i >= end:
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
