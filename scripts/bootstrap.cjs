"use strict";
/*
 * Runs one of our TypeScript scripts on the Node that we pin, from a clean clone on a machine
 * whose own Node may be too old: installs what package-lock.json says where that has not been
 * done yet, then starts node_modules/.bin/node. Plain old JavaScript, because it is the one file
 * that an old Node must be able to parse.
 */
var childProcess = require("child_process");
var crypto = require("crypto");
var fs = require("fs");
var path = require("path");

var root = path.resolve(__dirname, "..");
var stamp = path.join(root, "node_modules", ".mx-agent-lock");

function lockDigest() {
  return crypto
    .createHash("sha256")
    .update(fs.readFileSync(path.join(root, "package-lock.json")))
    .digest("hex");
}

function installed() {
  try {
    return fs.readFileSync(stamp, "utf8") === lockDigest();
  } catch (_) {
    return false;
  }
}

function install() {
  process.stderr.write("mx-agent: installing dependencies (npm ci, once; half a minute) ...\n");
  var npm = process.env.npm_execpath;
  var args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  var done = npm
    ? childProcess.spawnSync(process.execPath, [npm].concat(args), { cwd: root, stdio: ["ignore", 2, 2] })
    : childProcess.spawnSync("npm", args, { cwd: root, stdio: ["ignore", 2, 2] });
  if (done.status !== 0) {
    process.stderr.write("mx-agent: npm ci failed; its message is above\n");
    process.exit(69);
  }
  fs.writeFileSync(stamp, lockDigest());
}

function pinnedNode() {
  var own = path.join(root, "node_modules", ".bin", "node");
  if (fs.existsSync(own)) return own;
  if (Number(process.versions.node.split(".")[0]) >= 24) return process.execPath;
  process.stderr.write(
    "mx-agent: Node 24 or later is needed, this is " +
      process.version +
      ", and npm has no Node 24 for " +
      process.platform +
      "-" +
      process.arch +
      "; install it from https://nodejs.org\n",
  );
  process.exit(78);
}

if (!installed()) install();
var node = pinnedNode();
var bin = path.join(root, "node_modules", ".bin");
var child = childProcess.spawn(node, [path.resolve(root, process.argv[2])].concat(process.argv.slice(3)), {
  cwd: root,
  stdio: "inherit",
  env: Object.assign({}, process.env, { PATH: bin + path.delimiter + process.env.PATH }),
});
["SIGINT", "SIGTERM", "SIGHUP"].forEach((signal) => {
  process.on(signal, () => {
    child.kill(signal);
  });
});
child.on("exit", (code, signal) => {
  if (signal) process.kill(process.pid, signal);
  else process.exit(code);
});
