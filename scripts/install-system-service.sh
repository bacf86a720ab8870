#!/bin/sh
# Installs mx-agent as a service of the whole machine, under a uid of its own, for systemd:
#   scripts/install-system-service.sh [--user NAME] [--root DIRECTORY] [PROGRAM]
# PROGRAM is the installed mx-agent, by default the one on PATH. NAME is the account that it gets, by default mx-agent;
# its home is /var/lib/NAME, which nobody else may enter. What others run on this machine then neither reads its keys
# nor changes its policy. With --root the files are written below that directory, and nothing else is done.
#
# It writes /etc/systemd/system/NAME.service, and /usr/local/bin/NAME-operator, by which an operator (with sudo) runs
# mx-agent as that account: `NAME-operator doctor`. Run again, it writes both anew. To remove it:
#   systemctl disable --now NAME && rm /etc/systemd/system/NAME.service /usr/local/bin/NAME-operator
#   (and `userdel NAME; rm -r /var/lib/NAME`, which removes its keys and its audit log)
set -eu

usage() {
  sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
  exit 64
}

user=mx-agent root=''
while [ $# -gt 0 ]; do
  case $1 in
    --user) user=${2:?} && shift 2 ;;
    --root) root=${2:?} && shift 2 ;;
    -*) usage ;;
    *) break ;;
  esac
done
[ $# -le 1 ] || usage
program=${1:-$(command -v mx-agent || true)}
case $user in *[!a-z0-9_-]* | '' | -*) echo "$user is no name for an account" >&2 && exit 64 ;; esac
case $program in
  /*) [ -x "$program" ] || { echo "$program cannot be executed" >&2 && exit 78; } ;;
  *) echo "where is mx-agent? name the installed program, absolute" >&2 && exit 78 ;;
esac
case $program in *[!A-Za-z0-9_./+-]*) echo "$program: install it at a path without spaces" >&2 && exit 78 ;; esac

if [ -z "$root" ]; then
  [ "$(id -u)" = 0 ] || { echo "this needs root" >&2 && exit 77; }
  command -v systemctl >/dev/null || { echo "there is no systemctl on this machine" >&2 && exit 78; }
  case $program in
    /home/* | /root/*) echo "$program is in somebody's home; install it for everybody (npm install -g)" >&2 && exit 78 ;;
  esac
  getent passwd "$user" >/dev/null ||
    useradd --system --home-dir "/var/lib/$user" --no-create-home --shell /usr/sbin/nologin "$user"
fi

template=$(dirname "$0")/../service/mx-agent-system.service
[ -r "$template" ] || { echo "$template is missing; run this from a checkout" >&2 && exit 78; }
unit=$root/etc/systemd/system/$user.service
operator=$root/usr/local/bin/$user-operator
mkdir -p "${unit%/*}" "${operator%/*}"

# What the unit says, and why, is in packages/cli/src/service/text.ts.
sed -e "s|^ExecStart=[^ ]*|ExecStart=$program|" -e "s|^User=.*|User=$user|" \
  -e "s|^StateDirectory=.*|StateDirectory=$user|" -e "s|/var/lib/mx-agent|/var/lib/$user|" \
  "$template" >"$unit.new"
chmod 644 "$unit.new" && mv "$unit.new" "$unit"

cat >"$operator.new" <<OPERATOR
#!/bin/sh
# mx-agent as the account of the machine's service, for operators.
cd /var/lib/$user 2>/dev/null || cd /
exec sudo -u $user -- env MX_AGENT_HOME=/var/lib/$user $program "\$@"
OPERATOR
chmod 755 "$operator.new" && mv "$operator.new" "$operator"

if [ -z "$root" ]; then
  systemctl daemon-reload
  systemctl enable "$user.service"
  systemctl restart "$user.service"
  echo "$user.service runs; next: $user-operator auth login --homeserver URL --user NAME"
else
  echo "wrote $unit and $operator"
fi
