package web

// germanStory holds the German texts of the page of an arrangement, and of its charts.
var germanStory = []translation{
	{"both valid: %s", "beide gültig: %s"},
	{"%s and %s are both valid from %s to %s (%s)", "%s und %s sind beide gültig, vom %s bis zum %s (%s)"},
	{
		"Bars: validity. Shaded: overlap, in which both certificates are valid and receivers change from one to the " +
			"other. Line: today. Dots: cut-overs. Triangles: planned dates.",
		"Balken: Gültigkeit. Schattiert: Überlappung, in der beide Zertifikate gültig sind und Empfänger vom einen zum " +
			"anderen wechseln. Linie: heute. Punkte: Wechsel. Dreiecke: geplante Termine.",
	},
	{
		"Generations over time: each bar is the validity of one generation, shaded areas are overlaps, and the line is " +
			"today. The text below has the dates.",
		"Generationen im Zeitverlauf: Jeder Balken ist die Gültigkeit einer Generation, schattierte Flächen sind " +
			"Überlappungen, und die Linie ist heute. Der Text darunter enthält die Daten.",
	},
}
