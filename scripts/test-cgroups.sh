#!/bin/sh
# Runs the tests of the limits by cgroup under a kernel of its own, for machines whose memory and pids controllers are
# not in a hierarchy of version 2. It needs root and User-Mode Linux (Debian: apt install user-mode-linux, or the path
# of its kernel in MX_UML). The file system is this machine's; nothing of this machine's cgroups is touched.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
uml=${MX_UML:-linux.uml}
command -v "$uml" >/dev/null || { echo "test-cgroups: no $uml here" >&2; exit 69; }
mkdir -p "$top/.cache"
work=$(mktemp -d "$top/.cache/uml.XXXXXX")
trap 'rm -rf "$work"' EXIT
cat > "$work/init" <<EOF
#!/bin/sh
export PATH=$top/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm && mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up 2>/dev/null || ifconfig lo up 2>/dev/null
cd $top
name='${MX_TEST_NAME:-}'
vitest run --config=scripts/vitest.config.ts --project=unit packages/runner/test/cgroup.test.ts \${name:+-t "\$name"} > $work/out 2>&1 < /dev/null
echo \$? > $work/status
sync
echo o > /proc/sysrq-trigger
sleep 60
EOF
chmod +x "$work/init"
TMPDIR=$work timeout 900 "$uml" mem="${MX_UML_MEM:-1024M}" rootfstype=hostfs rootflags=/ rw init="$work/init" con=null con0=null,fd:1 \
  < /dev/null > "$work/console" 2>&1 || true
cat "$work/out" 2>/dev/null || tail -50 "$work/console"
exit "$(cat "$work/status" 2>/dev/null || echo 70)"
