package browser

var pictureWalks []walk
