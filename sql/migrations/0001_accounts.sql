-- Who may come in: users, their sessions, and the count of failed logins.

create table users (
    id            bigint generated always as identity primary key,
    name          text not null,
    -- Lower-case, so that the unique constraint compares without case.
    email         text not null constraint users_email_key unique,
    password_hash text not null,
    role          text not null default 'user' check (role in ('user', 'admin')),
    disabled      boolean not null default false,
    -- Counts the changes of what the API shows; the ETag is made of it.
    version       bigint not null default 1,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);

-- The enabled admins are few; the check that one remains reads only them.
create index users_enabled_admins_idx on users (id) where role = 'admin' and not disabled;

create table sessions (
    id           bigint generated always as identity primary key,
    user_id      bigint not null references users (id),
    user_agent   text,
    ip           inet,
    created_at   timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    -- The end that no use can put off.
    expires_at   timestamptz not null,
    ended_at     timestamptz
);

create index sessions_live_idx on sessions (user_id, id) where ended_at is null;

-- A refresh token is stored as its SHA-256 only. A used one stays, so that a second use is noticed.
create table refresh_tokens (
    hash       bytea primary key,
    session_id bigint not null references sessions (id) on delete cascade,
    used_at    timestamptz
);

create index refresh_tokens_session_id_idx on refresh_tokens (session_id);

-- Failed logins of an account, in a row, from one network and ('*') from anywhere. The account is the SHA-256 of the
-- e-mail that was typed: unknown ones are counted as well, so that both take the same time, and a password typed into the
-- wrong field is not kept.
create table login_failures (
    account        bytea not null,
    network        text not null,
    failures       integer not null,
    locked_until   timestamptz,
    last_failed_at timestamptz not null default now(),
    primary key (account, network)
);

create index login_failures_last_failed_at_idx on login_failures (last_failed_at);
