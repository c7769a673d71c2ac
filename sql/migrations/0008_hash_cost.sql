-- The cost of a bcrypt hash, the 12 of `$2b$12$…`: a login asks for the highest that is stored, which is the last entry of this index.
create index users_hash_cost_idx on users (substr(password_hash, 5, 2));
