/** A file or directory as it was when it was checked; it must be the same one when it is used. */
export interface FileIdentity {
  /** Real path, absolute. */
  path: string;
  dev: number;
  ino: number;
}
