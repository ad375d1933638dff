package browser

var looksWalks []walk
