/** Which environment variables a child may have. Names are compared without regard to case. */

const secretParts = [
  "token",
  "secret",
  "password",
  "passwd",
  "api_key",
  "apikey",
  "access_key",
  "private_key",
  "credential",
  "authorization",
  "recovery",
  "passphrase",
];
const secretPrefixes = ["aws_", "google_", "azure_", "matrix_", "mx_agent_"];

/** Whether a variable of this name holds a secret: it is dropped even where an allow-list has it. */
export function isSecretName(name: string): boolean {
  const lower = name.toLowerCase();
  return (
    lower === "ssh_auth_sock" ||
    lower.endsWith("_key") ||
    secretParts.some((part) => lower.includes(part)) ||
    secretPrefixes.some((prefix) => lower.startsWith(prefix))
  );
}

/** Variables through which a program can be made to load or run something else. */
const steeringNames = new Set(
  `path env bash_env shell shellopts bashopts ps4 ifs cdpath prompt_command zdotdir home tmpdir
  node_options node_path node_extra_ca_certs node_repl_external_module electron_run_as_node
  pythonpath pythonstartup pythonhome pythoninspect pythonbreakpoint pythonwarnings pythonuserbase
  perl5lib perllib perl5opt perl5db rubylib rubyopt lua_path lua_cpath lua_init phprc php_ini_scan_dir
  java_tool_options _java_options jdk_java_options java_opts classpath maven_opts gradle_opts sbt_opts
  git_ssh git_ssh_command git_exec_path git_external_diff git_pager git_editor git_sequence_editor
  git_askpass git_proxy_command git_template_dir git_dir git_work_tree git_index_file git_object_directory
  git_alternate_object_directories git_common_dir git_attr_source git_cvs_pager git_allow_protocol
  ssh_askpass ssh_askpass_require editor visual pager manpager lessopen lessclose browser
  rustc rustc_wrapper rustc_workspace_wrapper rustflags rustdoc rustdocflags
  cc cxx ld makeflags mflags gnumakeflags makefiles cflags cxxflags ldflags compiler_path gcc_exec_prefix
  goflags goroot gopath gotoolchain gotooldir goenv gcc_specs
  glibc_tunables gconv_path locpath nlspath getconf_dir hostaliases localdomain res_options tzdir
  malloc_check_ malloc_perturb_ malloc_trace resolv_host_conf terminfo terminfo_dirs termcap
  dotnet_startup_hooks cor_profiler coreclr_profiler cor_enable_profiling coreclr_enable_profiling
  openssl_conf openssl_modules openssl_engines ssl_cert_file ssl_cert_dir curl_home wgetrc
  tclsh tcllibpath r_profile r_profile_user r_environ r_home julia_load_path ghcrts erl_flags erl_aflags
  erl_zflags elixir_erl_options`.split(/\s+/),
);
const steeringPrefixes = [
  "ld_",
  "dyld_",
  "bash_func_",
  "npm_config_",
  "yarn_",
  "pnpm_",
  "pip_",
  "cargo_",
  "git_config",
  "git_trace",
  "git_filter",
  "xdg_",
  "bundle_",
  "gem_",
  "composer_",
  "systemd_",
];

/** Whether a variable of this name could steer what a program loads or runs: never taken from a peer. */
export function isSteeringName(name: string): boolean {
  const lower = name.toLowerCase();
  return steeringNames.has(lower) || steeringPrefixes.some((prefix) => lower.startsWith(prefix));
}

/** Names that the child may inherit: the allow-list without secrets. */
export function inheritable(allowlist: readonly string[]): string[] {
  return allowlist.filter((name) => !isSecretName(name));
}

const validName = /^[A-Za-z_][A-Za-z0-9_]*$/;

export function isVariableName(name: string): boolean {
  return validName.test(name);
}

/** Why a requested variable is not let through; null when it is. */
export function refuseVariable(name: string, value: string, allowlist: readonly string[]): string | null {
  if (!isVariableName(name)) return `${JSON.stringify(name)} is no name of a variable`;
  if (value.includes("\0")) return `${name} has a NUL byte`;
  if (isSecretName(name)) return `${name} is a name of secrets`;
  if (isSteeringName(name)) return `${name} could steer which program runs, and never comes from a peer`;
  if (!allowlist.includes(name)) return `${name} is not in env_allowlist`;
  return null;
}
