package web

// A translation is a text of the pages in English and in German, with the same formatting verbs.
type translation struct{ english, german string }

// german holds the German texts by the English ones. A test requires a translation for every text.
var german = catalogue(germanFrame, germanFleet, germanTenant, germanArrangement, germanFeeds,
	germanInstructions, germanWatched, germanGuard, germanFind, germanShell, germanCalendar,
	germanWebhooks, germanCounterparties, germanStory, germanBoard, germanAdministrators, germanTestRounds,
	germanKeys, germanLists)

func catalogue(parts ...[]translation) map[string]string {
	all := map[string]string{}
	for _, part := range parts {
		for _, t := range part {
			all[t.english] = t.german
		}
	}
	return all
}
