package templates

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// propertyValue writes a value so that java.util.Properties.load reads it back: backslashes doubled, letters
// outside ASCII as \uXXXX. Values have no white space at their ends.
func propertyValue(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r < 0x80:
			b.WriteRune(r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04X`, unit)
			}
		}
	}
	return b.String()
}

// shellQuote makes text one word of a POSIX shell.
func shellQuote(text string) string {
	if text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+,=") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// shellCommand makes words one command of a POSIX shell.
func shellCommand(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = shellQuote(w)
	}
	return strings.Join(quoted, " ")
}

// cronCommand makes a shell command fit for a crontab, where a bare % ends the line (crontab(5)).
func cronCommand(command string) string { return strings.ReplaceAll(command, "%", `\%`) }

// unitText writes a value of a unit file that systemd takes as it stands but for its specifiers (systemd.unit(5)).
func unitText(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// unitWord writes one word of a list in a unit file, in double quotes where it has to be (systemd.syntax(7)).
func unitWord(text string) string {
	text = unitText(text)
	if !strings.ContainsAny(text, " \t\"'\\;#") && text != "" {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// unitWords writes a list of words in a unit file.
func unitWords(list []string) string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = unitWord(w)
	}
	return strings.Join(out, " ")
}

// unitCommand writes an ExecStart= line, where $ stands for variables too. The program itself, the first word,
// is not looked through for them; checkProgram keeps $ out of it.
func unitCommand(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		if i > 0 {
			w = strings.ReplaceAll(w, "$", "$$")
		}
		out[i] = unitWord(w)
	}
	return strings.Join(out, " ")
}

// assignment writes a variable of an Environment= line.
func assignment(v Variable) string { return unitWord(v.Name + "=" + v.Value) }

// seconds writes a time in a unit file.
func seconds(d time.Duration) string { return strconv.Itoa(int(d/time.Second)) + "s" }
