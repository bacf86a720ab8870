/**
 * The first schema. `pos` is the one stream position of the server: events, to-device messages,
 * account data, receipts and device list changes all take theirs from the same counter.
 */
export const schemaV1 = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;

CREATE TABLE users (
  user_id TEXT PRIMARY KEY, password_hash TEXT, created_ts INTEGER NOT NULL, deactivated INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE profiles (
  user_id TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (user_id, key)
) WITHOUT ROWID;
CREATE TABLE devices (
  user_id TEXT NOT NULL, device_id TEXT NOT NULL, display_name TEXT, last_seen_ts INTEGER, last_seen_ip TEXT,
  PRIMARY KEY (user_id, device_id)
) WITHOUT ROWID;
CREATE TABLE access_tokens (
  hash TEXT PRIMARY KEY, user_id TEXT NOT NULL, device_id TEXT NOT NULL, expires_ts INTEGER, replaces TEXT
) WITHOUT ROWID;
CREATE INDEX access_tokens_device ON access_tokens (user_id, device_id);
CREATE TABLE refresh_tokens (
  hash TEXT PRIMARY KEY, user_id TEXT NOT NULL, device_id TEXT NOT NULL, superseded INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX refresh_tokens_device ON refresh_tokens (user_id, device_id);
CREATE TABLE login_tokens (hash TEXT PRIMARY KEY, user_id TEXT NOT NULL, expires_ts INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE registration_tokens (
  hash TEXT PRIMARY KEY, uses_allowed INTEGER, uses INTEGER NOT NULL DEFAULT 0, expires_ts INTEGER
) WITHOUT ROWID;
CREATE TABLE filters (
  user_id TEXT NOT NULL, filter_id INTEGER NOT NULL, definition TEXT NOT NULL, PRIMARY KEY (user_id, filter_id)
) WITHOUT ROWID;
CREATE TABLE transactions (
  user_id TEXT NOT NULL, device_id TEXT NOT NULL, scope TEXT NOT NULL, txn_id TEXT NOT NULL, response TEXT NOT NULL,
  ts INTEGER NOT NULL, PRIMARY KEY (user_id, device_id, scope, txn_id)
) WITHOUT ROWID;
CREATE INDEX transactions_ts ON transactions (ts);

CREATE TABLE rooms (
  room_id TEXT PRIMARY KEY, creator TEXT NOT NULL, version TEXT NOT NULL, published INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE events (
  pos INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, room_id TEXT NOT NULL, type TEXT NOT NULL, state_key TEXT,
  sender TEXT NOT NULL, ts INTEGER NOT NULL, content TEXT NOT NULL, redacts TEXT, redacted_by TEXT, replaces_state TEXT,
  device_id TEXT, txn_id TEXT
);
CREATE INDEX events_room ON events (room_id, pos);
CREATE INDEX events_state ON events (room_id, type, state_key, pos) WHERE state_key IS NOT NULL;
CREATE INDEX events_state_pos ON events (room_id, pos) WHERE state_key IS NOT NULL;
CREATE INDEX events_members ON events (pos) WHERE type = 'm.room.member' AND state_key IS NOT NULL;
CREATE TABLE current_state (
  room_id TEXT NOT NULL, type TEXT NOT NULL, state_key TEXT NOT NULL, pos INTEGER NOT NULL,
  PRIMARY KEY (room_id, type, state_key)
) WITHOUT ROWID;
CREATE TABLE memberships (
  user_id TEXT NOT NULL, room_id TEXT NOT NULL, membership TEXT NOT NULL, pos INTEGER NOT NULL,
  forgotten INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (user_id, room_id)
) WITHOUT ROWID;
CREATE INDEX memberships_room ON memberships (room_id, membership, pos);
CREATE TABLE relations (
  parent_id TEXT NOT NULL, pos INTEGER NOT NULL, rel_type TEXT NOT NULL, type TEXT NOT NULL, PRIMARY KEY (parent_id, pos)
) WITHOUT ROWID;
CREATE TABLE aliases (alias TEXT PRIMARY KEY, room_id TEXT NOT NULL, creator TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX aliases_room ON aliases (room_id);
CREATE TABLE receipts (
  room_id TEXT NOT NULL, user_id TEXT NOT NULL, type TEXT NOT NULL, thread_id TEXT NOT NULL, event_id TEXT NOT NULL,
  ts INTEGER NOT NULL, pos INTEGER NOT NULL, PRIMARY KEY (room_id, user_id, type, thread_id)
) WITHOUT ROWID;
CREATE INDEX receipts_room ON receipts (room_id, pos);
CREATE INDEX receipts_pos ON receipts (pos);
CREATE TABLE unread (
  user_id TEXT NOT NULL, room_id TEXT NOT NULL, notify INTEGER NOT NULL, highlight INTEGER NOT NULL, pos INTEGER NOT NULL,
  PRIMARY KEY (user_id, room_id)
) WITHOUT ROWID;

CREATE TABLE account_data (
  user_id TEXT NOT NULL, room_id TEXT NOT NULL, type TEXT NOT NULL, content TEXT NOT NULL, pos INTEGER NOT NULL,
  PRIMARY KEY (user_id, room_id, type)
) WITHOUT ROWID;
CREATE INDEX account_data_pos ON account_data (user_id, pos);
CREATE TABLE to_device (
  pos INTEGER PRIMARY KEY, user_id TEXT NOT NULL, device_id TEXT NOT NULL, sender TEXT NOT NULL, type TEXT NOT NULL,
  content TEXT NOT NULL
);
CREATE INDEX to_device_target ON to_device (user_id, device_id, pos);
CREATE TABLE device_keys (
  user_id TEXT NOT NULL, device_id TEXT NOT NULL, keys TEXT NOT NULL, PRIMARY KEY (user_id, device_id)
) WITHOUT ROWID;
CREATE TABLE one_time_keys (
  user_id TEXT NOT NULL, device_id TEXT NOT NULL, algorithm TEXT NOT NULL, key_id TEXT NOT NULL, key TEXT NOT NULL,
  PRIMARY KEY (user_id, device_id, algorithm, key_id)
) WITHOUT ROWID;
CREATE TABLE fallback_keys (
  user_id TEXT NOT NULL, device_id TEXT NOT NULL, algorithm TEXT NOT NULL, key_id TEXT NOT NULL, key TEXT NOT NULL,
  used INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (user_id, device_id, algorithm)
) WITHOUT ROWID;
CREATE TABLE cross_signing_keys (
  user_id TEXT NOT NULL, usage TEXT NOT NULL, keys TEXT NOT NULL, PRIMARY KEY (user_id, usage)
) WITHOUT ROWID;
CREATE TABLE key_signatures (
  target_user TEXT NOT NULL, target_key TEXT NOT NULL, signer TEXT NOT NULL, signing_key TEXT NOT NULL,
  signature TEXT NOT NULL, PRIMARY KEY (target_user, target_key, signer, signing_key)
) WITHOUT ROWID;
CREATE TABLE device_list_changes (user_id TEXT PRIMARY KEY, pos INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX device_list_changes_pos ON device_list_changes (pos);
CREATE TABLE backup_versions (
  user_id TEXT NOT NULL, version INTEGER NOT NULL, algorithm TEXT NOT NULL, auth_data TEXT NOT NULL,
  etag INTEGER NOT NULL DEFAULT 0, deleted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (user_id, version)
) WITHOUT ROWID;
CREATE TABLE backup_keys (
  user_id TEXT NOT NULL, version INTEGER NOT NULL, room_id TEXT NOT NULL, session_id TEXT NOT NULL, data TEXT NOT NULL,
  PRIMARY KEY (user_id, version, room_id, session_id)
) WITHOUT ROWID;

CREATE TABLE media (
  media_id TEXT PRIMARY KEY, sha256 TEXT NOT NULL, size INTEGER NOT NULL, content_type TEXT NOT NULL, filename TEXT,
  uploader TEXT NOT NULL, ts INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX media_sha256 ON media (sha256);
`;

/**
 * One-time keys go out in the order in which they came (`added` counts uploads), and the ids of those that went are
 * remembered: an upload that is tried again must not bring them back.
 */
export const schemaV2 = `
ALTER TABLE one_time_keys ADD COLUMN added INTEGER NOT NULL DEFAULT 0;
CREATE TABLE claimed_one_time_keys (
  user_id TEXT NOT NULL, device_id TEXT NOT NULL, algorithm TEXT NOT NULL, key_id TEXT NOT NULL, key TEXT NOT NULL,
  seq INTEGER NOT NULL, PRIMARY KEY (user_id, device_id, algorithm, key_id)
) WITHOUT ROWID;
CREATE INDEX claimed_one_time_keys_seq ON claimed_one_time_keys (user_id, device_id, seq);
`;
