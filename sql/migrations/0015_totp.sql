-- A second factor: codes that change every 30 seconds, and recovery codes.

alter table users add column totp boolean not null default false;

-- The secret of a user, sealed with a key that is made from JWT_SECRET. It is in force if `users.totp` says so.
create table totp_secrets (
    user_id     bigint primary key references users (id),
    secret      bytea not null,
    -- The codes of this step and of all before it have been used.
    last_step   bigint not null default 0,
    -- Since the last right one. A hundred lock the account until it is unlocked.
    wrong_codes integer not null default 0
);

-- Each is good once, and stored as its SHA-256 only.
create table recovery_codes (
    user_id bigint not null references users (id),
    hash    bytea not null,
    primary key (user_id, hash)
);
