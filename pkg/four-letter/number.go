package fourletter

import (
	"fmt"
	"strconv"
	"strings"
)

// Zxid is a transaction id: the epoch in the high 32 bits, a counter in the low.
type Zxid uint64

// Epoch is the leader's reign in which the transaction was made.
func (z Zxid) Epoch() uint32 { return uint32(z >> 32) }

// Counter numbers the transaction within its epoch.
func (z Zxid) Counter() uint32 { return uint32(z) }

// String gives the zxid in hexadecimal, 0x100000002.
func (z Zxid) String() string { return fmt.Sprintf("0x%x", uint64(z)) }

// SessionID is a session's number, printed in hexadecimal.
type SessionID uint64

// String gives the id in hexadecimal, 0x100000fe64a0001.
func (id SessionID) String() string { return fmt.Sprintf("0x%x", uint64(id)) }

func parseHex(text string) (uint64, bool) {
	digits, ok := strings.CutPrefix(text, "0x")
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, ok && err == nil && digits[0] != '+'
}

// formatDouble writes a number as Java's Double.toString does: 0.0, 2.6, 1.0E-4, 1.0E7.
func formatDouble(f float64) string {
	if size := max(f, -f); size != 0 && (size < 1e-3 || size >= 1e7) {
		text := strconv.FormatFloat(f, 'E', -1, 64)
		mantissa, exponent, ok := strings.Cut(text, "E")
		if !ok {
			return text // NaN, Inf
		}
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		sign := ""
		if exponent[0] == '-' {
			sign = "-"
		}
		return mantissa + "E" + sign + strings.TrimLeft(exponent, "+-0")
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.ContainsAny(text, ".N") {
		text += ".0"
	}
	return text
}
