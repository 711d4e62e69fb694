package auth

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"os/exec"
	"strings"
	"testing"
)

func oid(s ...int) asn1.ObjectIdentifier { return s }

// encode makes the DER of a name out of its parts, the first one first.
func encode(t *testing.T, parts ...[]attribute) []byte {
	t.Helper()
	name := make([]attributeSET, len(parts))
	for i, p := range parts {
		name[i] = p
	}
	der, err := asn1.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func attr(id asn1.ObjectIdentifier, tag int, value string) attribute {
	return attribute{id, asn1.RawValue{Class: asn1.ClassUniversal, Tag: tag, Bytes: []byte(value)}}
}

// names are names as DER, and what Java prints of them.
func names(t *testing.T) map[string][]byte {
	cn, o, c := oid(2, 5, 4, 3), oid(2, 5, 4, 10), oid(2, 5, 4, 6)
	dc, uid, mail := oid(0, 9, 2342, 19200300, 100, 1, 25), oid(0, 9, 2342, 19200300, 100, 1, 1), oid(1, 2, 840, 113549, 1, 9, 1)
	one := func(id asn1.ObjectIdentifier, tag int, value string) []attribute {
		return []attribute{attr(id, tag, value)}
	}
	utf8 := asn1.TagUTF8String
	return map[string][]byte{
		"": encode(t),
		"CN=zk1,OU=ops,O=Example,L=Bern,ST=BE,C=CH": encode(t, one(c, asn1.TagPrintableString, "CH"), one(oid(2, 5, 4, 8), utf8, "BE"),
			one(oid(2, 5, 4, 7), utf8, "Bern"), one(o, utf8, "Example"), one(oid(2, 5, 4, 11), utf8, "ops"), one(cn, utf8, "zk1")),
		"UID=u,DC=example,DC=com":          encode(t, one(dc, asn1.TagIA5String, "com"), one(dc, asn1.TagIA5String, "example"), one(uid, utf8, "u")),
		"CN=a+STREET=s":                    encode(t, []attribute{attr(oid(2, 5, 4, 9), utf8, "s"), attr(cn, utf8, "a")}),
		`CN=\,\=\+\<\>\#\;\"\\`:            encode(t, one(cn, utf8, `,=+<>#;"\`)),
		`CN=\ \ a  b\ `:                    encode(t, one(cn, utf8, "  a  b ")),
		`CN=\ \ `:                          encode(t, one(cn, utf8, "  ")),
		"CN=":                              encode(t, one(cn, utf8, "")),
		`CN=a\00b`:                         encode(t, one(cn, utf8, "a\x00b")),
		"CN=Zo\u00eb \u4eba \U0001f600":    encode(t, one(cn, utf8, "Zo\u00eb \u4eba \U0001f600")),
		"CN=\u4eba":                        encode(t, one(cn, asn1.TagBMPString, "\x4e\xba")),
		"CN=caf\u00e9":                     encode(t, one(cn, asn1.TagT61String, "caf\xe9")),
		"1.2.840.113549.1.9.1=#1603614062": encode(t, one(mail, asn1.TagIA5String, "a@b")),
		"2.5.4.5=#13023432":                encode(t, one(oid(2, 5, 4, 5), asn1.TagPrintableString, "42")),
		"CN=#0303000102":                   encode(t, one(cn, asn1.TagBitString, "\x00\x01\x02")),
		"CN=tab\there\\\r\\\r":             encode(t, one(cn, utf8, "tab\there\r\r")),
		`CN=\#x`:                           encode(t, one(cn, utf8, "#x")),
	}
}

func TestDistinguishedName(t *testing.T) {
	for want, der := range names(t) {
		if got, err := DistinguishedName(der); err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	for _, bad := range [][]byte{nil, {0x30}, append(encode(t), 0), []byte("CN=a")} {
		if got, err := DistinguishedName(bad); err == nil {
			t.Errorf("%x is %q", bad, got)
		}
	}
}

// nameTexts are what ACLs of scheme x509 may be tried with, and whether they are
// names.
func nameTexts() map[string]bool {
	return map[string]bool{
		"": true, "CN=a": true, "cn=a": true, "CN = a , O = b": true, "CN=a;O=b": true, "CN=a+OU=b,O=c": true, "CN=": true,
		`CN=a\,b`: true, `CN="a,b"`: true, `CN="a,b",O=c`: true, `CN="a" `: true, `CN="a" b`: false, `CN="a`: false, `CN=a"b`: false,
		`CN=a\`: false, `CN=a\x`: false, `CN=a\20b`: true, `CN=a\2`: false, `CN=a\2x`: false, `CN="\,\"\\\41"`: true, `CN="\x"`: false,
		"CN=#0401ff": true, "CN=#": false, "CN=#04": false, "CN=#0": false, "CN=#xx": false, "CN=#0401ff00": false,
		"bob": false, "=a": false, "X=a": false, "1.2.3=a": true, "OID.1.2.3=a": true, "1=a": false, "3.1=a": false, "1.40=a": false,
		"0.39=a": true, "2.999.1=a": true, "1.2.=a": false, "EMAILADDRESS=a@b": true, "E=a": false, "DNQ=x": true, "S=x": true,
		",CN=a": false, "CN=a,": false, "CN=a,,O=b": false, "CN=a+": false, "+CN=a": false, "CN=a<b": false, "CN=a#b": true, "CN=a=b": true,
		"CN=\n a": true, " CN=a": true, "CN=Zo\u00eb": true, `CN=a\ `: true, `CN=a\\,O=b`: true, `CN=\#x`: true,
	}
}

func TestValidDN(t *testing.T) {
	for text, want := range nameTexts() {
		if got := validDN(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// The JDK has to be of the same opinion of all of it.
func TestNamesAsJava(t *testing.T) {
	java, err := exec.LookPath("java")
	if err != nil {
		t.Skip("no java: apt-get install default-jdk-headless")
	}
	if _, err := exec.LookPath("javac"); err != nil {
		t.Skip("no javac: apt-get install default-jdk-headless")
	}
	var in strings.Builder
	var want []string
	ask := func(kind string, data []byte, answer string) {
		text := base64.StdEncoding.EncodeToString(data)
		if text == "" {
			text = "-"
		}
		in.WriteString(kind + " " + text + "\n")
		want = append(want, answer)
	}
	for name, der := range names(t) {
		if tag := der[max(0, len(der)-8):]; !bytes.Contains(tag, []byte("\x1e\x02")) && !bytes.Contains(tag, []byte("\x14\x04")) {
			ask("der", der, name) // before 21 Java misread BMPString and T61String
		}
	}
	for text, valid := range nameTexts() {
		answer := "false"
		if valid {
			answer = "true"
		}
		ask("text", []byte(text), answer)
	}
	cmd := exec.CommandContext(t.Context(), java, "testdata/Names.java")
	cmd.Stdin = strings.NewReader(in.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines, asked := strings.Fields(string(out)), strings.Split(in.String(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d answers to %d questions", len(lines), len(want))
	}
	for i, line := range lines {
		if got, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, ".")); string(got) != want[i] {
			question, _ := base64.StdEncoding.DecodeString(asked[i][strings.Index(asked[i], " ")+1:])
			t.Errorf("%q: Java says %q, we %q", question, got, want[i])
		}
	}
}

func FuzzDN(f *testing.F) {
	for text := range nameTexts() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		validDN(string(data))
		name, err := DistinguishedName(data)
		if err != nil {
			return
		}
		if !validDN(name) {
			t.Errorf("%q, of %x, may not stand in an ACL", name, data)
		}
	})
}

func FuzzIP(f *testing.F) {
	f.Add("10.0.0.0/8", "10.1.2.3")
	f.Add("fe80::/10", "fe80:0:0:0:0:0:0:1")
	f.Fuzz(func(t *testing.T, expr, id string) {
		if matchIP(id, expr) && !validIP(expr) {
			t.Errorf("%q matches and is not valid", expr)
		}
	})
}
