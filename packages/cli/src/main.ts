process.stdout.write(`mx-agent ${process.env.MX_AGENT_VERSION ?? "dev"}\n`);
