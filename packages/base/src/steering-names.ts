/** Which environment variables steer programs. Names are compared without regard to case. */

/**
 * Variables through which a program can be made to load or run something else, or to believe other
 * files: by families, because their members grow with every release of the programs.
 */
const steeringFamilies = [
  // The loader, the C library, the resolver.
  /^(ld|dyld|malloc|resolv)_|^(gconv_path|locpath|nlspath|glibc_tunables|hostaliases|localdomain|res_options|tzdir|getconf_dir)$/,
  // Shells, and where programs and files are found.
  /^(path|home|shell|ifs|env|bashopts|shellopts|cdpath|globignore|prompt_command|ps[0-4]|zdotdir|fpath|tmpdir)$|^(bash|xdg|systemd|dbus|sudo)_/,
  /^(display|wayland_display|terminfo|terminfo_dirs|termcap)$/,
  // Languages and their package managers.
  /^(node|electron|npm|yarn|pnpm|bun|deno|corepack|gem|bundle|pip|pipx|uv|poetry|conda|virtual|composer|erl|r|julia|lua|tcl|mix|elixir|dotnet|coreclr|cor|nuget|java|_java|jdk|jvm|maven|gradle|sbt|ant|cargo|cgo|cmake|bazel|docker|compose|ansible|terraform|tf)_/,
  /^(python|perl|ruby|php|rust|go|mvn|gnupg)|^(classpath|clojure|lua|luapath|luacpath|tcllibpath|ghcrts|julia|kotlin|scala)/,
  // Compilers and make.
  /^(cc|cxx|cpp|ld|as|ar|c?flags|cflags|cxxflags|cppflags|ldflags|compiler_path|c_include_path|cplus_include_path|cpath|library_path)$|^(gcc|clang|ccache|pkg_config)_|^g?n?u?make|^mflags$/,
  // Version control, and what asks for secrets or shows pages.
  /^(git|hg|svn|ssh|gpg|ssl|openssl|curl|wget)_|^(curl|wget|ssh|gpg|svn|hg)(_?home|rc|path)?$/,
  /^(editor|visual|pager|manpager|man_?pager|browser|less.*)$/,
  // Where traffic goes.
  /_proxy$/,
];

/** Members of those families that change nothing but words and colours. */
const harmless =
  /^(node_env|pythonunbuffered|pythonhashseed|rust_backtrace|rust_log|cargo_term_color|git_(author|committer)_(name|email|date))$/;

/** Whether a variable of this name could steer what a program loads or runs: never taken from a peer. */
export function isSteeringName(name: string): boolean {
  const lower = name.toLowerCase();
  return !harmless.test(lower) && steeringFamilies.some((family) => family.test(lower));
}
