package web

// german are the texts of the pages in German.
var german = map[string]string{}
