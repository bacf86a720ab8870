/** Opens a database, writes one line, says whether it got it, and holds it until it is ended. */
import { Database } from "../../../src/state/database.ts";

const [, , file = "", formats = "1"] = process.argv;
const migrations = Array.from(
  { length: Number(formats) },
  (_, n) => `CREATE TABLE t${n + 1} (v TEXT) STRICT`,
);
try {
  const db = new Database({ file, migrations, version: "0.0.1", waitMs: 0 });
  db.run("INSERT INTO t1 VALUES ('in the log')");
  process.stdout.write("owner\n");
  process.stdin.on("end", () => db.close()).resume();
} catch (error) {
  process.stdout.write(
    `refused ${error instanceof Error && "errcode" in error ? error.errcode : String(error)}\n`,
  );
}
