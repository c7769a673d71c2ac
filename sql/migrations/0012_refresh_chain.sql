-- A session has one refresh token that is good. Each knows the one that it was given for, so that a second use of that one is told from a
-- retry; and one that a retry has replaced stays, so that its use is noticed.
alter table refresh_tokens
    add column parent bytea,
    add column replaced_at timestamptz;
