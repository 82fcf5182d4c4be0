package serve

import (
	"net/http"
	"strings"
	"time"
)

// stamp is a Last-Modified value in both forms.
type stamp struct {
	text string // RFC 9110, section 5.6.7; "" for none
	unix int64  // seconds
}

func stampOf(t time.Time) stamp {
	if t.IsZero() {
		return stamp{}
	}
	return stamp{t.UTC().Format(http.TimeFormat), t.Unix()}
}

// is reports whether a date field names exactly this stamp. Unreadable dates name none.
func (s stamp) is(date string) bool {
	if s.text == "" || date == "" {
		return false
	}
	if date == s.text {
		return true
	}
	t, err := http.ParseTime(date)
	return err == nil && t.Unix() == s.unix
}

// after reports whether the stamp is later than a date field that can be read.
func (s stamp) after(date string) bool {
	t, err := http.ParseTime(date)
	return err == nil && s.unix > t.Unix()
}

// nextTag cuts the first entity tag off a list (RFC 9110, section 8.8.3).
func nextTag(list string) (tag string, weak bool, rest string, ok bool) {
	list = strings.TrimLeft(list, " \t,")
	list, weak = strings.CutPrefix(list, "W/")
	if list == "" || list[0] != '"' {
		return "", false, "", false
	}
	end := strings.IndexByte(list[1:], '"')
	if end < 0 {
		return "", false, "", false
	}
	return list[:end+2], weak, list[end+2:], true
}

// matchTag looks for one of tags, those whose accepted flag is set, in a list of
// entity tags and returns its index, or -1. Weak tags match only where allowed.
func matchTag(list string, weakly bool, tags []codingTag, accepted *acceptance) int {
	for {
		tag, weak, rest, ok := nextTag(list)
		if !ok {
			return -1
		}
		for i := range tags {
			if tags[i].tag == tag && (weakly || !weak) && accepted[tags[i].coding] > 0 {
				return i
			}
		}
		list = rest
	}
}
