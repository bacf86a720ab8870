/** What every sandbox shows of the system, and what it never does. */

/** Programs, libraries and configuration; read-only. What a machine does not have is left out. */
export const SYSTEM_PATHS: readonly string[] = [
  "/usr",
  "/bin",
  "/sbin",
  "/lib",
  "/lib32",
  "/lib64",
  "/libx32",
  "/etc",
  "/opt",
  "/nix/store",
  "/gnu/store",
  "/sys/devices/system/cpu",
];

/** Shown beside the system when the network is: where /etc/resolv.conf usually points. */
export const RESOLVER_PATHS: readonly string[] = [
  "/run/systemd/resolve",
  "/run/resolvconf",
  "/run/NetworkManager/resolv.conf",
];

/** Made anew for each run; the program's own. */
export const PRIVATE_DIRECTORIES: readonly string[] = ["/tmp", "/var/tmp", "/dev/shm"];

/** Kernel interfaces, which are private and can never be policy paths. */
export const KERNEL_PATHS: readonly string[] = ["/proc", "/dev", "/sys"];

/** Secrets of the system that root could read; a daemon that runs as root must not show them. */
export const ROOT_SECRETS: readonly string[] = [
  "/etc/shadow",
  "/etc/shadow-",
  "/etc/gshadow",
  "/etc/gshadow-",
  "/etc/sudoers",
  "/etc/sudoers.d",
  "/etc/ssh/ssh_host_rsa_key",
  "/etc/ssh/ssh_host_ecdsa_key",
  "/etc/ssh/ssh_host_ed25519_key",
  "/etc/ssl/private",
  "/etc/NetworkManager/system-connections",
];

/**
 * Of a sandbox's own /proc, what belongs to the whole machine and its root may write without a
 * capability, being the files' owner. /proc/sys is read-only for everybody (core_pattern is a way out).
 */
export const ROOT_PROC_DIRECTORIES: readonly string[] = [
  "/proc/fs",
  "/proc/driver",
  "/proc/tty",
  "/proc/irq",
  "/proc/bus",
  "/proc/acpi",
  "/proc/scsi",
  "/proc/asound",
  "/proc/pressure",
];

/** Files there that root may write, or read although they tell of other processes' memory. */
export const ROOT_PROC_FILES: readonly string[] = [
  "/proc/sysrq-trigger",
  "/proc/mtrr",
  "/proc/kcore",
  "/proc/kmsg",
  "/proc/kpagecgroup",
  "/proc/kpagecount",
  "/proc/kpageflags",
  "/proc/keys",
  "/proc/timer_list",
  "/proc/slabinfo",
  "/proc/vmallocinfo",
  "/proc/pagetypeinfo",
];

/** Whether `path` is `ancestor` or lies beneath it. Both real and absolute. */
export function isWithin(path: string, ancestor: string): boolean {
  return path === ancestor || ancestor === "/" || path.startsWith(`${ancestor}/`);
}
