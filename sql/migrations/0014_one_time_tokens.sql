-- Somebody who has no password, or has forgotten it, sets one with a one-time token.

-- An account that an admin made has no password until its owner sets one: it is `invited`.
alter table users
    alter column password_hash drop not null,
    add column invited boolean not null generated always as (password_hash is null) stored;

-- A token is stored as its SHA-256 only. An account has one row for each purpose, so that a new token takes the place of the
-- earlier one. A token that was used or ended leaves its row without a hash: `created_at` still says when the last one was made.
create table one_time_tokens (
    user_id    bigint not null references users (id),
    purpose    text not null check (purpose in ('invitation', 'admin', 'mail')),
    hash       bytea unique,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    primary key (user_id, purpose)
);
