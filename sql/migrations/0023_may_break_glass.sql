-- The right to take emergency access, which an admin gives.
alter table users add column may_break_glass boolean not null default false;
