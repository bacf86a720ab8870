/** What a shell is told once: to ask `mx-agent complete` for the rest. */

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/**
 * Words are taken from the line, not from COMP_WORDS, which bash cuts at colons: room ids have some. What bash took
 * for a word before the last colon is then left out of each answer.
 */
const bash = `# Completion of mx-agent for bash. In ~/.bashrc: source <(mx-agent completion bash)
_mx_agent() {
  local line=\${COMP_LINE:0:COMP_POINT} value quoted
  local -a words
  IFS=$' \\t' read -ra words <<< "$line"
  [[ $line == *[[:blank:]] ]] && words+=("")
  local typed=\${words[\${#words[@]}-1]} cut=
  [[ $typed == *:* && $COMP_WORDBREAKS == *:* ]] && cut=\${typed%"\${typed##*:}"}
  COMPREPLY=()
  while IFS=$'\\t' read -r value _; do
    printf -v quoted %q "\${value#"$cut"}"
    COMPREPLY+=("$quoted")
  done < <("\${words[0]}" complete -- "\${words[@]:1}" 2>/dev/null)
}
complete -o bashdefault -o default -F _mx_agent mx-agent
`;

const zsh = `#compdef mx-agent
# Completion of mx-agent for zsh. In ~/.zshrc, after compinit: source <(mx-agent completion zsh)
_mx_agent() {
  local line
  local -a found
  while IFS= read -r line; do
    found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done < <("\${words[1]}" complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( $#found )); then _describe -t values 'mx-agent' found; else _files; fi
}
if [[ \${funcstack[1]} == _mx_agent ]]; then _mx_agent "$@"; else compdef _mx_agent mx-agent; fi
`;

const fish = `# Completion of mx-agent for fish. Once: mx-agent completion fish > ~/.config/fish/completions/mx-agent.fish
function __mx_agent_complete
    set -l words (commandline -opc) (commandline -ct)
    command $words[1] complete -- $words[2..-1] 2>/dev/null
end
complete -c mx-agent -e
complete -c mx-agent -f -a '(__mx_agent_complete)'
complete -c mx-agent -n 'test -z "$(__mx_agent_complete)"' -F
`;

export const scripts: Readonly<Record<Shell, string>> = { bash, zsh, fish };
