package web

import "maps"

// german holds the texts of the pages in German, by the English text. A test demands a translation for every text, with
// the same formatting verbs.
var german = merged(germanFrame, germanFleet, germanTenant, germanArrangement)

// merged returns the entries of all maps.
func merged(parts ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, part := range parts {
		maps.Copy(all, part)
	}
	return all
}
