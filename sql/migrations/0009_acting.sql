-- Who changes something must be allowed to in the moment of the change, and not only when the request came.

-- The actor's id, for the audit entry of the change. Fails if the session is over, if the user is disabled, or if the user is no
-- admin any more where one is needed. `volatile` matters: PostgreSQL then shows the function what has been committed by the moment
-- of the call, and not what the statement saw when it began. So it is called behind the locks that a statement waits for.
create function acting(actor bigint, session bigint, needs_admin boolean) returns bigint language plpgsql volatile as $$
declare
    found_role text;
begin
    select u.role into found_role
      from users u
      join sessions s on s.user_id = u.id
     where u.id = actor
       and s.id = session
       and s.ended_at is null
       and not u.disabled;
    if found_role is null then
        raise exception 'the session of the actor is over' using errcode = 'HC401';
    elsif needs_admin and found_role <> 'admin' then
        raise exception 'the actor is not an admin any more' using errcode = 'HC403';
    end if;
    return actor;
end
$$;
