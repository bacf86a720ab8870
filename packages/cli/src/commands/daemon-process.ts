import { type Define, takeVerbose } from "../verb.ts";

export const define: Define = (command, cli) => {
  takeVerbose(command);
  command.action(async () => {
    const { runDaemonProcess } = await import("../background/daemon-process.ts");
    await runDaemonProcess(cli, false);
  });
};
