# It is run by a line that a person pasted; in brackets, so that an answer that
# breaks off in the middle runs nothing.
(
umask 077
file=${AWS_SHARED_CREDENTIALS_FILE:-${HOME:?}/.aws/credentials}
case $file in
"~/"*) file=$HOME/${file#??} ;;
/*) ;;
*) file=./$file ;;
esac
links=0
while [ -L "$file" ] && [ $links -lt 40 ]; do
	links=$((links + 1))
	to=$(readlink "$file") || exit 1
	case $to in
	/*) file=$to ;;
	*) file=${file%/*}/$to ;;
	esac
done
if [ -L "$file" ]; then
	echo "gatehouse: $file leads round" >&2
	exit 1
fi
mkdir -p "${file%/*}/" || exit 1
old=$file
[ -e "$old" ] || old=/dev/null
new=$(mktemp "$file.XXXXXX") || exit 1
# The section comes where the first of its name was, else at the end. Of an old
# one, comments that are not ours stay: they may be about what follows.
LC_ALL=C awk '
FNR == NR { text = text $0 "\n"; if (/^\[/) name = $0; next }
{ line = $0; sub(/\r$/, "", line) }
line ~ /^# (Gatehouse: |With these set AWS_ENDPOINT_URL_STS=)/ { held = held $0 "\n"; next }
line ~ /^[ \t]*\[[^]]*\]/ {
	sub(/^[ \t]*\[[ \t]*/, "[", line)
	sub(/[ \t]*\].*$/, "]", line)
	ours = line == name
	if (ours) {
		held = ""
		if (!done++) printf "%s", text
		next
	}
}
{ printf "%s", held; held = "" }
ours && line !~ /^[ \t]*([#;]|$)/ { next }
{ print; last = line }
END {
	printf "%s", held
	if (!done) printf "%s", (last held == "" ? "" : "\n") text
}' - "$old" >"$new" <<'GATEHOUSE' && mv -f "$new" "$file" && echo "gatehouse: wrote $profile to $file" && exit 0
SECTION
GATEHOUSE
rm -f "$new"
exit 1
)
