/** What `policy init` writes: allows nothing, and says how to allow something. */
export const emptyPolicy = `# Who may do what on this machine. What is not allowed here is denied.
# The file is read again when it changes; a mistake in it denies everything.
#   mx-agent policy check     finds mistakes
#   mx-agent policy test      runs the [[test]] blocks
#   mx-agent policy explain   says why a request was denied
version = 1

[execution]                         # what every run gets, unless a rule says otherwise
sandbox = "bubblewrap"              # "none" also needs allow_unsandboxed = true in the rule
network = "deny"
max_runtime_ms = 900_000
max_output_bytes = 67_108_864
max_memory_bytes = 2_147_483_648
max_processes = 256
max_concurrent = 4

# To allow something, name a room, who in it, the commands, and where they may run:
#
# [rooms."!room:example.org"]
# trusted = true
#
# [rooms."!room:example.org".agents."@user:example.org"]
# allow_exec = true
# allow_commands = ["git", "npm"]
# allow_cwd = ["/srv/project"]
`;
