import type { Database } from "./database.ts";

export interface MediaRow {
  media_id: string;
  sha256: string;
  size: number;
  content_type: string;
  filename: string | null;
  uploader: string;
  ts: number;
}

/** What is known about uploads; the bytes are files, named by their hash. */
export class MediaStore {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  add(row: MediaRow): void {
    this.#db.run(
      "INSERT INTO media (media_id, sha256, size, content_type, filename, uploader, ts) VALUES (?, ?, ?, ?, ?, ?, ?)",
      row.media_id,
      row.sha256,
      row.size,
      row.content_type,
      row.filename,
      row.uploader,
      row.ts,
    );
  }

  get(mediaId: string): MediaRow | undefined {
    return this.#db.get<MediaRow>("SELECT * FROM media WHERE media_id = ?", mediaId);
  }
}
