#!/bin/sh
# Installs a git hook (pre-push) that publishes wiki/ to a wiki of its own whenever main is pushed:
#   scripts/install-wiki-hook.sh WIKI_URL [FILES_URL] [REMOTE]
# WIKI_URL is the wiki's git remote, as git@github.com:OWNER/REPO.wiki.git; FILES_URL is where the project's files
# are seen, for links out of the wiki (by default made from WIKI_URL); REMOTE is the one whose pushes count, by
# default origin. Run again, it changes these; a hook of somebody else is left alone. A wiki that cannot be
# published is said, and never keeps a push back.
set -eu

[ $# -ge 1 ] && [ $# -le 3 ] || {
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 64
}
wiki=$1
remote=${3:-origin}
files=${2:-$(printf '%s' "$wiki" | sed -e 's/\.wiki\.git$//' -e 's#^git@\([^:]*\):#https://\1/#')/blob/main}

hooks=$(git rev-parse --path-format=absolute --git-path hooks)
hook=$hooks/pre-push
mark='# Made by scripts/install-wiki-hook.sh.'
if [ -e "$hook" ] && ! grep -qF "$mark" "$hook"; then
  echo "$hook is there and not ours; it was left alone" >&2
  exit 78
fi

# A word that a shell reads as it was given.
quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

mkdir -p "$hooks"
{
  printf '#!/bin/sh\n%s\nwiki=%s\nfiles=%s\nremote=%s\n' "$mark" "$(quoted "$wiki")" "$(quoted "$files")" "$(quoted "$remote")"
  cat <<'HOOK'
# Pages lie flat in a wiki and are linked without .md; what is outside of wiki/ is linked where the files are.
publish() {
  commit=$1
  dir=$(mktemp -d) || return 1
  trap 'rm -rf "$dir"' EXIT
  mkdir "$dir/pages"
  git archive "$commit" wiki | tar -x -C "$dir/pages" || return 1
  # The hook runs with this repository's variables, which would send the commands below to it.
  unset $(git rev-parse --local-env-vars)
  git clone -q "$wiki" "$dir/wiki" || return 1
  find "$dir/wiki" -maxdepth 1 -name '*.md' -exec rm {} +
  base=$(printf '%s' "$files" | sed 's/[&|\\]/\\&/g')
  find "$dir/pages" -name '*.md' | while read -r page; do
    sed -e "s|](\(\.\./\)\{1,2\}\([^)]*\))|]($base/\2)|g" \
        -e 's|](\(reference/\)\{0,1\}\([A-Za-z-]*\)\.md\(#[^)]*\)\{0,1\})|](\2\3)|g' \
        "$page" > "$dir/wiki/$(basename "$page")" || exit 1
  done || return 1
  cd "$dir/wiki" || return 1
  git add -A . || return 1
  git diff --cached --quiet && return 0
  git commit -q -m "The wiki as of $commit" && git push -q origin HEAD && echo "the wiki is published" >&2
}

[ "$1" = "$remote" ] || exit 0
while read -r _ commit to _; do
  case "$to:$commit" in
    refs/heads/main:*[!0]*) (publish "$commit") || echo "the wiki could not be published to $wiki" >&2 ;;
  esac
done
exit 0
HOOK
} > "$hook.new"
chmod 755 "$hook.new"
mv "$hook.new" "$hook"
echo "$hook publishes wiki/ to $wiki when main is pushed to $remote"
