package holdfast

// gradeDecimal grades hashes without a letter, one in 43 of those with 8 digits. Dates
// are not hashes.
func (t *token) gradeDecimal(s string) grade {
	switch {
	case isDate(s):
		return word
	case t.home > strange:
		return fair
	}
	return weak
}

func (t *token) gradeHex(s string, f features) grade {
	switch {
	case t.alone && len(s) == 32 && isBareUUID(s):
		return weak // which some MD5 hashes match by chance
	case f.digits >= 2 && f.changes >= 2:
		return strong
	case t.home > strange && f.digits > 0 && f.changes >= 2:
		return likely
	case t.home > strange:
		return fair
	}
	return weak
}

// gradeBase36 grades lower-case tokens with or without digits (Bun, .NET, Rollup with
// hashCharacters).
func gradeBase36(s string, f features) grade {
	l := looksOf(s)
	switch {
	case f.lower < 3 || hasYear(s) || readsLikeWords(s) && l.strange < 2:
		return word
	case l.strange >= 3, f.digits > 0 && (l.strange >= 2 || l.plain == 0 && f.changes >= 3):
		return likely
	case l.strange >= 2, f.digits > 0 && f.changes >= 2 && 4*l.words < 3*len(s):
		return fair
	case f.changes <= 3:
		return word
	}
	return weak
}

// gradeUpper grades upper-case tokens with or without digits, which esbuild writes in
// base32.
func gradeUpper(s string, f features) grade {
	switch strange := strangeIn(s); {
	case f.base32 && f.digits > 0 && f.changes >= 2:
		return strong
	case strange >= 2 || f.digits > 0 && f.changes >= 4:
		return likely
	case f.base32:
		return weak
	}
	return word // 1024X768
}

func gradeBase64(s string, f features) grade {
	if f.mixed() && f.dashes == 0 && !f.wordy(len(s)) && !readsLikeWords(s) {
		return strong
	}
	l := looksOf(s)
	switch {
	case hasLocale(s), f.lower == 0 && l.strange == 0 && f.changes <= 3: // zh-CN-v2, X-640-48
		return word
	case readsLikeWords(s):
		if l.strange >= 2 || f.dashes > 0 && l.plain == 0 && f.lower > 0 && f.upper > 0 {
			return weak
		}
		return word
	case 4*l.words >= 3*len(s) || l.plain > minWord: // jQueryUI, I18nUtil
		return weak
	case l.plain > 0:
		return fair
	}
	return likely
}
