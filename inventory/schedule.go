package inventory

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Schedule says when the purge runs, in one of the forms that Purge.Schedule lists. It is a subset of
// systemd's calendar expressions small enough that cron can keep every one of it.
type Schedule string

// plan is a schedule taken apart; every field is written as cron writes it.
type plan struct{ minute, hour, day, weekday string }

// Check tells what is wrong with s, or nil.
func (s Schedule) Check() error {
	_, err := s.plan()
	return err
}

// OnCalendar returns s as a systemd calendar expression (systemd.time(7)).
func (s Schedule) OnCalendar() (string, error) {
	p, err := s.plan()
	if err != nil {
		return "", err
	}
	days := ""
	if p.weekday != "*" {
		days = weekdayNames(p.weekday) + " "
	}
	hour, step, stepped := strings.Cut(p.hour, "/")
	switch {
	case stepped:
		hour = "00/" + step
	case hour != "*":
		hour = fmt.Sprintf("%02s", hour)
	}
	day := p.day
	if day != "*" {
		day = fmt.Sprintf("%02s", day)
	}
	return fmt.Sprintf("%s*-*-%s %s:%02s:00", days, day, hour, p.minute), nil
}

// Cron returns s as the five time fields of a crontab line (crontab(5)).
func (s Schedule) Cron() (string, error) {
	p, err := s.plan()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s %s * %s", p.minute, p.hour, p.day, p.weekday), nil
}

func (s Schedule) plan() (plan, error) {
	switch s {
	case "hourly":
		return plan{"0", "*", "*", "*"}, nil
	case "daily":
		return plan{"0", "0", "*", "*"}, nil
	case "weekly":
		return plan{"0", "0", "*", "1"}, nil
	}
	if hours, ok := strings.CutSuffix(string(s), "h"); ok {
		return everyHours(hours)
	}
	return s.calendar()
}

// everyHours is the plan of "6h": at the hours that n divides, so that the gaps are even over midnight.
func everyHours(text string) (plan, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 24 || 24%n != 0 {
		return plan{}, fmt.Errorf("a number of hours must divide the day: 1h, 2h, 3h, 4h, 6h, 8h, 12h or 24h, not %sh", text)
	}
	switch n {
	case 1:
		return plan{"0", "*", "*", "*"}, nil
	case 24:
		return plan{"0", "0", "*", "*"}, nil
	}
	return plan{"0", "*/" + strconv.Itoa(n), "*", "*"}, nil
}

// calendar is the plan of "[weekdays] [*-*-day] HH:MM[:00]".
func (s Schedule) calendar() (plan, error) {
	m := regexp.MustCompile(`^(?:([A-Za-z][A-Za-z,.]*) +)?(?:\*-\*-(\*|\d\d?) +)?(\d\d?|\*):(\d\d)(?::00)?$`).FindStringSubmatch(string(s))
	if m == nil {
		return plan{}, fmt.Errorf("%q is not a schedule: use hourly, daily, weekly, a time such as 03:30, hours such as 6h, or weekdays and a time such as \"Mon..Fri 03:30\"", string(s))
	}
	p := plan{weekday: "*", day: "*", hour: "*"}
	var err error
	if m[1] != "" {
		if p.weekday, err = weekdays(m[1]); err != nil {
			return plan{}, err
		}
	}
	if m[2] != "" && m[2] != "*" {
		if p.day, err = within("day of the month", m[2], 1, 31); err != nil {
			return plan{}, err
		}
	}
	if p.day != "*" && p.weekday != "*" {
		return plan{}, fmt.Errorf("weekdays and a day of the month together mean different things to systemd and cron; give one of them")
	}
	if m[3] != "*" {
		if p.hour, err = within("hour", m[3], 0, 23); err != nil {
			return plan{}, err
		}
	}
	p.minute, err = within("minute", m[4], 0, 59)
	return p, err
}

// within returns the number of text without leading zeros.
func within(what, text string, low, high int) (string, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return "", fmt.Errorf("%s %s is not in %d..%d", what, text, low, high)
	}
	return strconv.Itoa(n), nil
}

// weekdayList has the days at the numbers cron gives them; cron's Sunday is 0.
func weekdayList() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// weekdays turns "Mon..Wed,Sun" into cron's "0,1,2,3".
func weekdays(text string) (string, error) {
	var on [7]bool
	for _, part := range strings.Split(text, ",") {
		from, to, ranged := strings.Cut(part, "..")
		first, err := weekday(from)
		if err != nil {
			return "", err
		}
		last := first
		if ranged {
			if last, err = weekday(to); err != nil {
				return "", err
			}
		}
		for d := first; ; d = (d + 1) % 7 {
			on[d] = true
			if d == last {
				break
			}
		}
	}
	var list []string
	for d, set := range on {
		if set {
			list = append(list, strconv.Itoa(d))
		}
	}
	return strings.Join(list, ","), nil
}

// weekday is the number of a day given by its first three letters or in full.
func weekday(text string) (int, error) {
	long := []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
	lower := strings.ToLower(text)
	if i := slices.Index(weekdayList(), lower); i >= 0 {
		return i, nil
	}
	if i := slices.Index(long, lower); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("%q is not a day of the week; write Mon, Tue, Wed, Thu, Fri, Sat or Sun", text)
}

// weekdayNames turns cron's "0,1" into systemd's "Sun,Mon".
func weekdayNames(numbers string) string {
	var names []string
	for _, number := range strings.Split(numbers, ",") {
		n, _ := strconv.Atoi(number)
		name := weekdayList()[n]
		names = append(names, strings.ToUpper(name[:1])+name[1:])
	}
	return strings.Join(names, ",")
}
