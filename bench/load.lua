-- What wrk sends, and one line of figures at the end.
--
--   wrk -s bench/load.lua URL -- ROUTE TOKEN FIRST_ID LAST_ID EMAIL PASSWORD
--
-- Requests are made before the clock runs; "patient" asks for another one each time.
local next_request = 1

local function shuffled(requests)
    for place = #requests, 2, -1 do
        local other = math.random(place)
        requests[place], requests[other] = requests[other], requests[place]
    end
    return requests
end

local function one_patient_each(first, last)
    local requests = {}
    for id = first, last do
        requests[#requests + 1] = wrk.format("GET", "/api/patients/" .. id)
    end
    return shuffled(requests)
end

local function new_patients()
    wrk.headers["Content-Type"] = "application/json"
    local requests = {}
    for number = 1, 1000 do
        local body = string.format(
            '{"name": "Patient %d", "date_of_birth": "19%02d-04-23", "gender": "female", "phone": "+49 30 %07d", '
                .. '"email": "patient%d@example.org", "address": "%d Main Street, Springfield", '
                .. '"medical_history": "Asthma since childhood; penicillin allergy."}',
            number, number % 100, number, number, number)
        requests[#requests + 1] = wrk.format("POST", "/api/patients", nil, body)
    end
    return requests
end

function init(args)
    local route, token, first, last = args[1], args[2], tonumber(args[3]), tonumber(args[4])
    if route == "healthz" then
        wrk.path = "/healthz"
        return
    end
    if route == "login" then
        wrk.method, wrk.path = "POST", "/api/auth/login"
        wrk.headers["Content-Type"] = "application/json"
        wrk.body = string.format('{"email": "%s", "password": "%s"}', args[5], args[6])
        return
    end
    wrk.headers["Authorization"] = "Bearer " .. token
    if route == "list" then
        wrk.path = "/api/patients?limit=20"
        return
    end
    local requests = route == "create" and new_patients() or one_patient_each(first, last)
    -- wrk calls a function of this name for every request; without one it repeats the same bytes.
    function request()
        local text = requests[next_request]
        next_request = next_request % #requests + 1
        return text
    end
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format("FIGURES %d %d %d %d %d %d\n", summary.requests, summary.duration, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(50), latency:percentile(99)))
end
