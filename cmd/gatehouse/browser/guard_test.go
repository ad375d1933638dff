package browser

var guardWalks []walk
