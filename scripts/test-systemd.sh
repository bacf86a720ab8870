#!/bin/sh
# Runs scripts/systemd/*.test.ts, the services under a real systemd, in a machine of its own: User-Mode Linux with systemd
# as init, groups of version 2, and a file system in memory over this machine's /usr. It needs root, systemd and
# User-Mode Linux (Debian: apt install user-mode-linux, or the path of its kernel in MX_UML), and takes some minutes.
# Nothing of this machine is changed; what is tested is the archive of scripts/tarball.ts, made now.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
uml=${MX_UML:-linux.uml}
command -v "$uml" >/dev/null || { echo "test-systemd: no $uml here" >&2; exit 69; }
[ -x /lib/systemd/systemd ] || { echo "test-systemd: no systemd here" >&2; exit 69; }
mkdir -p "$top/.cache"
work=$(mktemp -d "$top/.cache/systemd.XXXXXX")
trap 'rm -rf "$work"' EXIT
(cd "$top" && export PATH="$top/node_modules/.bin:$PATH" && node scripts/build.ts && node scripts/tarball.ts --to "$work") >&2
cat > "$work/init" <<EOF
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t tmpfs -o mode=755 root /mnt
cd /mnt
cp -a /etc etc
mkdir -p usr var/lib var/log var/tmp run tmp proc sys dev root home opt mnt outside
chmod 1777 tmp var/tmp
for link in bin sbin lib lib32 lib64; do [ ! -e /\$link ] || ln -s usr/\$link \$link; done
mount --bind /usr usr && mount -o remount,bind,ro usr
mount -t tmpfs -o mode=755 local usr/local && mkdir usr/local/bin
mkdir -p .$top && mount --bind $top .$top
units=etc/systemd/system
rm -rf \$units && mkdir \$units
for unit in udevd udev-trigger random-seed update-utmp timesyncd networkd resolved modules-load remount-fs; do
  ln -s /dev/null \$units/systemd-\$unit.service
done
: > etc/fstab
od -An -tx1 -N16 /dev/urandom | tr -d ' \n' > etc/machine-id
printf '[Unit]\nRequires=basic.target\nWants=dbus.service systemd-logind.service systemd-user-sessions.service test.service\n' > \$units/test.target
printf '[Unit]\nAfter=basic.target dbus.service systemd-logind.service\n[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart=$work/main\n' > \$units/test.service
mount -t devtmpfs dev dev
umount /proc
pivot_root . outside
exec chroot . /lib/systemd/systemd < /dev/console > /dev/console 2>&1
EOF
cat > "$work/main" <<EOF
#!/bin/sh
export PATH=$top/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
ip link set lo up 2>/dev/null || ifconfig lo up
mkdir /opt/mx-agent && tar -C /opt/mx-agent --strip-components=1 -xzf $work/mx-agent-*.tar.gz
cd $top
name='${MX_TEST_NAME:-}'
vitest run --config=scripts/vitest.config.ts --project=systemd \${name:+-t "\$name"} > $work/out 2>&1 < /dev/null
echo \$? > $work/status
journalctl --no-pager -o cat -n 300 > $work/journal
sync
echo o > /proc/sysrq-trigger
sleep 60
EOF
chmod +x "$work/init" "$work/main"
TMPDIR=$work timeout 1800 "$uml" mem="${MX_UML_MEM:-3072M}" rootfstype=hostfs rootflags=/ rw init="$work/init" con=null con0=null,fd:1 \
  systemd.unit=test.target < /dev/null > "$work/console" 2>&1 || true
status=$(cat "$work/status" 2>/dev/null || echo 70)
cat "$work/out" 2>/dev/null || tail -50 "$work/console"
[ "$status" = 0 ] || tail -100 "$work/journal" 2>/dev/null >&2 || true
exit "$status"
