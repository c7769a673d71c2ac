//! The purpose of each route, in the order of `ROUTES`. `mod.rs` adds everything that follows from the route itself: who may call
//! it, its parameters, and the answers that any request can get.

use super::operation::Gives::{Changed, Data, Elsewhere, List, Made, New, Nothing, Page, Record, Renewed, Taken};
use super::operation::{Operation, in_section};
use crate::request::Method::{Delete, Get, Patch, Post, Put};

/// The sections, in order.
#[rustfmt::skip]
pub const TAGS: &[(&str, &str)] = &[
    ("Accounts", "Register, log in, and manage your account and your sessions."),
    ("Patients", "Each user sees and changes the patients that this user created, those of the members of the user's care groups, and those that are shared with the user. The patients of other users are answered with 404."),
    ("Doctors", "A shared directory. Every user can read it; an entry can be changed by the user who created it and by admins."),
    ("Mappings", "Which doctors care for which patient."),
    ("Admin", "The records and accounts of all users, and the audit trail. Only for users with the role `admin`; everyone else gets 403."),
    ("Service", "Health checks, metrics, and this document."),
];

/// Every operation, in the order of `ROUTES`.
#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    in_section("Accounts", Post, "/api/auth/register", "register", "Register")
        .about("Answered with 403 if registration is closed (`REGISTRATION`): then admins make accounts.")
        .takes("Registration").gives(New("User"), "User registered").refuses(&["Forbidden", "Conflict", "TooManyAttempts"]),
    in_section("Accounts", Post, "/api/auth/login", "login", "Log in")
        .about("A wrong e-mail, a wrong password, a locked account and a disabled account all get the same answer after the same time. With a second factor in force, a right password needs a `code`: without it, and with a wrong one, the answer is 401 with `data.code_required`.")
        .takes("Login").gives(Data("Grant"), "Logged in").refuses(&["WrongCredentials", "TooManyAttempts"]),
    in_section("Accounts", Post, "/api/auth/refresh", "refresh", "Trade a refresh token for a new pair")
        .about("A refresh token can be used once. If it is used again within 10 s, and the pair that it returned has not been used yet, a new pair replaces that one. Any other second use ends the session.")
        .takes("Refresh").gives(Data("Grant"), "Token refreshed").refuses(&["Unauthenticated", "TooManyAttempts"]),
    in_section("Accounts", Get, "/api/auth/me", "whoAmI", "Show your account")
        .about("The account of the token that is sent.")
        .gives(Record("User"), "User found"),
    in_section("Accounts", Put, "/api/auth/me", "updateProfile", "Save your edited account").about(PROFILE)
        .takes("ProfileChanges").gives(Changed("User"), "Account updated").refuses(&["WrongPassword", "Conflict", "Outdated"]),
    in_section("Accounts", Patch, "/api/auth/me", "patchProfile", "Change your name or e-mail address").about(PROFILE)
        .takes("ProfileChanges").gives(Changed("User"), "Account updated").refuses(&["WrongPassword", "Conflict", "Outdated"]),
    in_section("Accounts", Post, "/api/auth/forgot", "forgotPassword", "Ask for a mail with a one-time token")
        .about("The answer is the same whether there is such an account or not. An account gets one mail in 5 minutes at most; its token is good for 24 hours. Answered with 404 where the service sends no mail (`SENDMAIL`).")
        .takes("ForgottenPassword").gives(Taken, "A mail is sent if there is an account with this address").refuses(&["NotFound", "TooManyAttempts"]),
    in_section("Accounts", Post, "/api/auth/reset", "resetPassword", "Set a password with a one-time token")
        .about("The token comes from an admin, an invitation or a mail, and is good once. Unlocks the account, and ends all its sessions and other one-time tokens. A password that breaks a rule does not use the token up.")
        .takes("PasswordReset").gives(Nothing("updated"), "Password set").refuses(&["WrongToken", "TooManyAttempts"]),
    in_section("Accounts", Post, "/api/auth/totp", "prepareTotp", "Set up a second factor")
        .about("Gives a new secret for an authenticator (RFC 6238). It is not in force until it is confirmed. 409 while another one is.")
        .takes("CurrentPassword").gives(Made("TotpSecret"), "Second factor prepared").refuses(&["WrongPassword", "Conflict", "TooManyAttempts"]),
    in_section("Accounts", Post, "/api/auth/totp/confirm", "confirmTotp", "Put the second factor into force")
        .about("From now on a login needs a `code`. The recovery codes, each good once in place of a code, are shown only here. 409 if there is nothing to confirm.")
        .takes("TotpCode").gives(Data("RecoveryCodeList"), "Second factor confirmed").refuses(&["Conflict", "TooManyAttempts"]),
    in_section("Accounts", Post, "/api/auth/totp/remove", "removeTotp", "Remove the second factor")
        .about("A wrong password and a wrong code get the same answer, and count as failed logins. A recovery code is fine. 409 if there is no second factor.")
        .takes("TotpRemoval").gives(Changed("User"), "Second factor removed").refuses(&["WrongPassword", "Conflict", "TooManyAttempts"]),
    in_section("Accounts", Post, "/api/auth/password", "changePassword", "Change your password")
        .about("Ends your other sessions and revokes every earlier token of this one. A wrong current password counts as a failed login.")
        .takes("PasswordChange").gives(Renewed("Grant"), "Password changed").refuses(&["WrongPassword", "TooManyAttempts"]),
    in_section("Accounts", Post, "/api/auth/logout", "logout", "Log out")
        .about("Ends the session of the token that is sent.")
        .gives(Nothing("success"), "Logged out"),
    in_section("Accounts", Get, "/api/auth/sessions", "listSessions", "List your active sessions")
        .about("All of them, without pages: 100 at most, because a further log-in ends the one that was unused longest. `current` marks the session of this request.")
        .gives(List("Session"), "Sessions found"),
    in_section("Accounts", Delete, "/api/auth/sessions/{id}", "endSession", "End one of your sessions")
        .about("Its tokens are refused from the next request on.")
        .gives(Nothing("deleted"), "Session ended").refuses(&["NotFound"]),
    in_section("Accounts", Get, "/api/auth/groups", "listMyGroups", "List your care groups")
        .about("Members of a care group see and change each other's patients. Without a group, a user sees only the user's own.")
        .gives(List("MyGroup"), "Care groups found"),

    in_section("Patients", Post, "/api/patients", "createPatient", "Register a patient")
        .about("The patient belongs to you. With an `Idempotency-Key` the request can be repeated when its answer is lost.")
        .takes("PatientInput").gives(New("Patient"), "Patient created").refuses(&["Conflict", "KeyReused"]),
    in_section("Patients", Get, "/api/patients", "listPatients", "List your patients")
        .about_table("Pages in ascending order of ids, or of `sort`. With `Accept: text/csv` the same page is CSV.")
        .gives(List("Patient"), "Patients found"),
    in_section("Patients", Get, "/api/patients/{id}", "findPatient", "Show a patient")
        .about("404 for the patient of another user, too.")
        .gives(Record("Patient"), "Patient found").refuses(&["NotFound"]),
    in_section("Patients", Put, "/api/patients/{id}", "updatePatient", "Save an edited patient").about(PARTIAL)
        .takes("PatientChanges").gives(Changed("Patient"), "Patient updated").refuses(&["Forbidden", "NotFound", "Outdated"]),
    in_section("Patients", Patch, "/api/patients/{id}", "patchPatient", "Change fields of a patient").about(PARTIAL)
        .takes("PatientChanges").gives(Changed("Patient"), "Patient updated").refuses(&["Forbidden", "NotFound", "Outdated"]),
    in_section("Patients", Delete, "/api/patients/{id}", "deletePatient", "Delete a patient").about("Deletes the patient's mappings too.")
        .gives(Nothing("deleted"), "Patient deleted").refuses(&["Forbidden", "NotFound", "Conflict", "Outdated"]),
    in_section("Patients", Get, "/api/patients/deleted", "listDeletedPatients", "List deleted patients")
        .about("The last deleted first. A record that was brought back no longer stands here.")
        .gives(List("DeletedRecord"), "Deleted records found"),
    in_section("Patients", Post, "/api/patients/{id}/undelete", "undeletePatient", "Bring a deleted patient back")
        .about("The patient has the same id and a new version. The mappings that went with the patient come back if their doctors exist; the message says how many. 409 if the patient is not deleted. Without a body.")
        .gives(Changed("Patient"), "Patient brought back with 0 of 0 mappings").refuses(&["NotFound", "Conflict"]),
    in_section("Patients", Get, "/api/patients/{id}/history", "listPatientVersions", "Show the history of a patient")
        .about(HISTORY)
        .gives(List("PatientVersion"), "Versions found").refuses(&["NotFound"]),
    in_section("Patients", Get, "/api/patients/{id}/history/{version}", "findPatientVersion", "Show a patient as it was")
        .about(VERSION)
        .gives(Data("PatientVersion"), "Version found").refuses(&["NotFound"]),
    in_section("Patients", Post, "/api/patients/{id}/shares", "sharePatient", "Share a patient with one user")
        .about("For the owner and the members of the owner's care groups; 403 for a user with whom the patient is shared. `user_id` or `email` says with whom, `can_change` whether the user may change the patient and the patient's mappings; `expires_at` is the end, if there is one. The user sees the patient in the lists, and can neither delete nor share it. A share ends when whoever made it may no longer change the patient. 409: the user sees the patient anyway, or has a share, or there are 50.")
        .takes("ShareInput").gives(Made("Share"), "Patient shared").refuses(&["Forbidden", "NotFound", "Conflict"]),
    in_section("Patients", Get, "/api/patients/{id}/shares", "listShares", "List the live shares of a patient")
        .about("For everybody who sees the patient, but not under emergency access.")
        .gives(List("Share"), "Shares found").refuses(&["Forbidden", "NotFound"]),
    in_section("Patients", Delete, "/api/patients/{id}/shares/{share_id}", "endShare", "End a share of a patient")
        .about("For those who may make one, and for the user whom it is for.")
        .gives(Nothing("deleted"), "Share ended").refuses(&["Forbidden", "NotFound"]),
    in_section("Patients", Get, "/api/patients/{id}/access", "listAccess", "Show who may see a patient, and why")
        .about("The owner, the members of the owner's care groups, those with whom the patient is shared, and admins. For everybody who sees the patient, but not under emergency access.")
        .gives(List("Access"), "Access found").refuses(&["Forbidden", "NotFound"]),
    in_section("Patients", Get, "/api/patients/{id}/access/log", "listAccessLog", "Show who looked at a patient, and who changed it")
        .about("The entries of the audit trail about this patient, newest first: an accounting of disclosures. For everybody who sees the patient, but not under emergency access.")
        .gives(List("AccessEvent"), "Access log found").refuses(&["Forbidden", "NotFound"]),
    in_section("Patients", Post, "/api/emergency-access", "askForEmergencyAccess", "Take emergency access to somebody else's patient")
        .about("For users with the right to it (`may_break_glass`), else 403. Takes the whole name, in upper or lower case, and the birth date of a patient whom you do not see, a reason, and your password again: a wrong one is a failed login. 1 to 5 patients match: a grant each. None: 404; more: 409. At most 5 tries in 60 minutes, then 429. The patient, the patient's mappings and the histories can be read while the grant lasts; every change is 403, and no list shows the patient. Each answer about the patient has the header `Emergency-Access`, everything is recorded, and an admin reviews each grant.")
        .takes("EmergencyRequest").gives(Made("EmergencyGrants"), "Emergency access granted").refuses(&["WrongPassword", "Forbidden", "NotFound", "Conflict", "TooManyAttempts"]),
    in_section("Patients", Get, "/api/emergency-access", "listEmergencyAccess", "List your open emergency access")
        .about("All of it, without pages. What has ended is not listed.")
        .gives(List("EmergencyGrant"), "Emergency access found"),
    in_section("Patients", Delete, "/api/emergency-access/{id}", "endEmergencyAccess", "End your emergency access early")
        .about("The patient is out of your sight from the next request on. The review is due all the same.")
        .gives(Nothing("deleted"), "Emergency access ended").refuses(&["NotFound"]),

    in_section("Doctors", Post, "/api/doctors", "createDoctor", "Add a doctor")
        .about("You and admins can change the entry; every user sees it. With an `Idempotency-Key` the request can be repeated when its answer is lost.")
        .takes("DoctorInput").gives(New("Doctor"), "Doctor created").refuses(&["Conflict", "KeyReused"]),
    in_section("Doctors", Get, "/api/doctors", "listDoctors", "List all doctors")
        .about_table("Pages in ascending order of ids, or of `sort`. With `Accept: text/csv` the same page is CSV.")
        .gives(List("Doctor"), "Doctors found"),
    in_section("Doctors", Get, "/api/doctors/{id}", "findDoctor", "Show a doctor")
        .about("Every user sees every doctor.")
        .gives(Record("Doctor"), "Doctor found").refuses(&["NotFound"]),
    in_section("Doctors", Put, "/api/doctors/{id}", "updateDoctor", "Save an edited doctor").about(PARTIAL)
        .takes("DoctorChanges").gives(Changed("Doctor"), "Doctor updated").refuses(&["Forbidden", "NotFound", "Conflict", "Outdated"]),
    in_section("Doctors", Patch, "/api/doctors/{id}", "patchDoctor", "Change fields of a doctor").about(PARTIAL)
        .takes("DoctorChanges").gives(Changed("Doctor"), "Doctor updated").refuses(&["Forbidden", "NotFound", "Conflict", "Outdated"]),
    in_section("Doctors", Delete, "/api/doctors/{id}", "deleteDoctor", "Delete a doctor")
        .about("Answered with 409 while the doctor is assigned to a patient.")
        .gives(Nothing("deleted"), "Doctor deleted").refuses(&["Forbidden", "NotFound", "Conflict", "Outdated"]),
    in_section("Doctors", Get, "/api/doctors/deleted", "listDeletedDoctors", "List deleted doctors")
        .about("The last deleted first. A record that was brought back no longer stands here.")
        .gives(List("DeletedRecord"), "Deleted records found"),
    in_section("Doctors", Post, "/api/doctors/{id}/undelete", "undeleteDoctor", "Bring a deleted doctor back")
        .about("The doctor has the same id and a new version. The mappings that went with the doctor come back if their patients exist; the message says how many. 409 if the doctor is not deleted, or another has the licence number now. Without a body.")
        .gives(Changed("Doctor"), "Doctor brought back with 0 of 0 mappings").refuses(&["Forbidden", "NotFound", "Conflict"]),
    in_section("Doctors", Get, "/api/doctors/{id}/history", "listDoctorVersions", "Show the history of a doctor")
        .about(HISTORY)
        .gives(List("DoctorVersion"), "Versions found").refuses(&["NotFound"]),
    in_section("Doctors", Get, "/api/doctors/{id}/history/{version}", "findDoctorVersion", "Show a doctor as it was")
        .about(VERSION)
        .gives(Data("DoctorVersion"), "Version found").refuses(&["NotFound"]),

    in_section("Mappings", Post, "/api/mappings", "createMapping", "Assign a doctor to a patient")
        .about("404 if the patient is not yours or the doctor does not exist; 409 if the doctor is already assigned to the patient.")
        .takes("MappingInput").gives(New("CareMapping"), "Doctor assigned to patient").refuses(&["Forbidden", "NotFound", "Conflict", "KeyReused"]),
    in_section("Mappings", Get, "/api/mappings", "listMappings", "List the mappings of your patients")
        .about("Pages in ascending order of ids. Each mapping shows the patient's name and the doctor.")
        .gives(List("CareMapping"), "Mappings found"),
    in_section("Mappings", Get, "/api/mappings/{patient_id}", "listDoctorsOfPatient", "List the doctors of a patient")
        .about("Here `id` is the id of the patient. Returns the same as `/api/patients/{patient_id}/mappings`.")
        .gives(List("CareMapping"), "Doctors of the patient found").refuses(&["NotFound"]),
    in_section("Mappings", Get, "/api/patients/{patient_id}/mappings", "listMappingsOfPatient", "List the mappings of a patient")
        .about("Returns the same as `/api/mappings/{id}`. 404 for the patient of another user, too.")
        .gives(List("CareMapping"), "Doctors of the patient found").refuses(&["NotFound"]),
    in_section("Mappings", Get, "/api/patients/{patient_id}/mappings/{id}", "findMapping", "Show a mapping")
        .about("404 for a mapping of another patient, too.")
        .gives(Record("CareMapping"), "Mapping found").refuses(&["NotFound"]),
    in_section("Mappings", Put, "/api/mappings/{id}", "updateMapping", "Save an edited mapping").about(PARTIAL)
        .takes("MappingChanges").gives(Changed("CareMapping"), "Mapping updated").refuses(&["Forbidden", "NotFound", "Conflict", "Outdated"]),
    in_section("Mappings", Patch, "/api/mappings/{id}", "patchMapping", "Change fields of a mapping").about(PARTIAL)
        .takes("MappingChanges").gives(Changed("CareMapping"), "Mapping updated").refuses(&["Forbidden", "NotFound", "Conflict", "Outdated"]),
    in_section("Mappings", Delete, "/api/mappings/{id}", "deleteMapping", "Delete a mapping")
        .about("Patient and doctor stay.")
        .gives(Nothing("deleted"), "Mapping deleted").refuses(&["Forbidden", "NotFound", "Outdated"]),
    in_section("Mappings", Get, "/api/mappings/deleted", "listDeletedMappings", "List deleted mappings")
        .about("The last deleted first. A mapping that went with its patient or doctor stands here too.")
        .gives(List("DeletedMapping"), "Deleted records found"),
    in_section("Mappings", Post, "/api/mappings/{id}/undelete", "undeleteMapping", "Bring a deleted mapping back")
        .about("409 if the mapping is not deleted, if its patient or doctor is, or if the doctor is assigned to the patient again. Without a body.")
        .gives(Changed("CareMapping"), "Mapping brought back").refuses(&["NotFound", "Conflict"]),
    in_section("Mappings", Get, "/api/patients/{patient_id}/mappings/{id}/history", "listMappingVersions", "Show the history of a mapping")
        .about(HISTORY)
        .gives(List("CareMappingVersion"), "Versions found").refuses(&["NotFound"]),
    in_section("Mappings", Get, "/api/patients/{patient_id}/mappings/{id}/history/{version}", "findMappingVersion", "Show a mapping as it was")
        .about(VERSION)
        .gives(Data("CareMappingVersion"), "Version found").refuses(&["NotFound"]),

    in_section("Admin", Get, "/api/admin/patients", "adminListPatients", "List the patients of all users")
        .about_table("Pages in ascending order of ids, or of `sort`. With `Accept: text/csv` the same page is CSV.")
        .gives(List("Patient"), "Patients found"),
    in_section("Admin", Get, "/api/admin/patients/{id}", "adminFindPatient", "Show any patient")
        .about("`created_by` says to whom the patient belongs.")
        .gives(Record("Patient"), "Patient found").refuses(&["NotFound"]),
    in_section("Admin", Put, "/api/admin/patients/{id}", "adminUpdatePatient", "Save any edited patient").about(PARTIAL)
        .takes("PatientChanges").gives(Changed("Patient"), "Patient updated").refuses(&["NotFound", "Outdated"]),
    in_section("Admin", Patch, "/api/admin/patients/{id}", "adminPatchPatient", "Change fields of any patient").about(PARTIAL)
        .takes("PatientChanges").gives(Changed("Patient"), "Patient updated").refuses(&["NotFound", "Outdated"]),
    in_section("Admin", Delete, "/api/admin/patients/{id}", "adminDeletePatient", "Delete any patient")
        .about("Deletes the patient's mappings too.")
        .gives(Nothing("deleted"), "Patient deleted").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Get, "/api/admin/patients/deleted", "adminListDeletedPatients", "List the deleted patients of all users")
        .about("The last deleted first. A record that was brought back no longer stands here.")
        .gives(List("DeletedRecord"), "Deleted records found"),
    in_section("Admin", Post, "/api/admin/patients/{id}/undelete", "adminUndeletePatient", "Bring any deleted patient back")
        .about("The patient has the same id and a new version. The mappings that went with the patient come back if their doctors exist; the message says how many. 409 if the patient is not deleted. Without a body.")
        .gives(Changed("Patient"), "Patient brought back with 0 of 0 mappings").refuses(&["NotFound", "Conflict"]),
    in_section("Admin", Get, "/api/admin/patients/{id}/history", "adminListPatientVersions", "Show the history of any patient")
        .about(HISTORY)
        .gives(List("PatientVersion"), "Versions found").refuses(&["NotFound"]),
    in_section("Admin", Get, "/api/admin/patients/{id}/history/{version}", "adminFindPatientVersion", "Show any patient as it was")
        .about(VERSION)
        .gives(Data("PatientVersion"), "Version found").refuses(&["NotFound"]),
    in_section("Admin", Post, "/api/admin/patients/{id}/shares", "adminSharePatient", "Share any patient with one user")
        .about("`user_id` or `email` says with whom, `can_change` whether the user may change the patient and the patient's mappings; `expires_at` is the end, if there is one. The user sees the patient in the lists, and can neither delete nor share it. A share ends when whoever made it may no longer change the patient. 409: the user sees the patient anyway, or has a share, or there are 50.")
        .takes("ShareInput").gives(Made("Share"), "Patient shared").refuses(&["NotFound", "Conflict"]),
    in_section("Admin", Get, "/api/admin/patients/{id}/shares", "adminListShares", "List the live shares of any patient")
        .about("With whom the patient is shared now, by whom and until when.")
        .gives(List("Share"), "Shares found").refuses(&["NotFound"]),
    in_section("Admin", Delete, "/api/admin/patients/{id}/shares/{share_id}", "adminEndShare", "End a share of any patient")
        .about("The user no longer sees the patient.")
        .gives(Nothing("deleted"), "Share ended").refuses(&["NotFound"]),
    in_section("Admin", Get, "/api/admin/patients/{id}/access", "adminListAccess", "Show who may see any patient, and why")
        .about("The owner, the members of the owner's care groups, those with whom the patient is shared, and admins.")
        .gives(List("Access"), "Access found").refuses(&["NotFound"]),
    in_section("Admin", Get, "/api/admin/patients/{id}/access/log", "adminListAccessLog", "Show who looked at any patient, and who changed it")
        .about("The entries of the audit trail about this patient, newest first.")
        .gives(List("AccessEvent"), "Access log found").refuses(&["NotFound"]),
    in_section("Admin", Post, "/api/admin/patients/{id}/transfer", "adminTransferPatient", "Hand a patient over to another user")
        .about("The patient and its mappings belong to that user from now on; the doctors stay as they are. Shares end if their maker could not make them any more. 409 if the user is disabled or the owner already.")
        .takes("Transfer").gives(Changed("Patient"), "Patient transferred").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Get, "/api/admin/doctors", "adminListDoctors", "List the doctors of all users")
        .about_table("The same list as `/api/doctors`, which an admin can filter by `created_by`. With `Accept: text/csv` the same page is CSV.")
        .gives(List("Doctor"), "Doctors found"),
    in_section("Admin", Get, "/api/admin/doctors/{id}", "adminFindDoctor", "Show any doctor")
        .about("The same as `/api/doctors/{id}`.")
        .gives(Record("Doctor"), "Doctor found").refuses(&["NotFound"]),
    in_section("Admin", Put, "/api/admin/doctors/{id}", "adminUpdateDoctor", "Save any edited doctor").about(PARTIAL)
        .takes("DoctorChanges").gives(Changed("Doctor"), "Doctor updated").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Patch, "/api/admin/doctors/{id}", "adminPatchDoctor", "Change fields of any doctor").about(PARTIAL)
        .takes("DoctorChanges").gives(Changed("Doctor"), "Doctor updated").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Delete, "/api/admin/doctors/{id}", "adminDeleteDoctor", "Delete any doctor")
        .about("409 if the doctor is assigned to a patient, unless `cascade=true` is sent: then the doctor's mappings are deleted too.")
        .gives(Nothing("deleted"), "Doctor deleted").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Get, "/api/admin/doctors/deleted", "adminListDeletedDoctors", "List the deleted doctors of all users")
        .about("The last deleted first. A record that was brought back no longer stands here.")
        .gives(List("DeletedRecord"), "Deleted records found"),
    in_section("Admin", Post, "/api/admin/doctors/{id}/undelete", "adminUndeleteDoctor", "Bring any deleted doctor back")
        .about("The doctor has the same id and a new version. The mappings that went with the doctor come back if their patients exist; the message says how many. 409 if the doctor is not deleted, or another has the licence number now. Without a body.")
        .gives(Changed("Doctor"), "Doctor brought back with 0 of 0 mappings").refuses(&["NotFound", "Conflict"]),
    in_section("Admin", Get, "/api/admin/doctors/{id}/history", "adminListDoctorVersions", "Show the history of any doctor")
        .about(HISTORY)
        .gives(List("DoctorVersion"), "Versions found").refuses(&["NotFound"]),
    in_section("Admin", Get, "/api/admin/doctors/{id}/history/{version}", "adminFindDoctorVersion", "Show any doctor as it was")
        .about(VERSION)
        .gives(Data("DoctorVersion"), "Version found").refuses(&["NotFound"]),
    in_section("Admin", Get, "/api/admin/mappings", "adminListMappings", "List the mappings of all users")
        .about("Pages in ascending order of ids. `created_by` is the owner of the patient.")
        .gives(List("AdminMapping"), "Mappings found"),
    in_section("Admin", Get, "/api/admin/mappings/{id}", "adminFindMapping", "Show any mapping")
        .about("Here `id` is the id of the mapping.")
        .gives(Record("AdminMapping"), "Mapping found").refuses(&["NotFound"]),
    in_section("Admin", Delete, "/api/admin/mappings/{id}", "adminDeleteMapping", "Delete any mapping")
        .about("Here `id` is the id of the mapping. Patient and doctor stay.")
        .gives(Nothing("deleted"), "Mapping deleted").refuses(&["NotFound", "Outdated"]),
    in_section("Admin", Get, "/api/admin/mappings/deleted", "adminListDeletedMappings", "List the deleted mappings of all users")
        .about("The last deleted first. A mapping that went with its patient or doctor stands here too.")
        .gives(List("DeletedMapping"), "Deleted records found"),
    in_section("Admin", Post, "/api/admin/mappings/{id}/undelete", "adminUndeleteMapping", "Bring any deleted mapping back")
        .about("409 if the mapping is not deleted, if its patient or doctor is, or if the doctor is assigned to the patient again. Without a body.")
        .gives(Changed("AdminMapping"), "Mapping brought back").refuses(&["NotFound", "Conflict"]),
    in_section("Admin", Get, "/api/admin/mappings/{id}/history", "adminListMappingVersions", "Show the history of any mapping")
        .about(HISTORY)
        .gives(List("AdminMappingVersion"), "Versions found").refuses(&["NotFound"]),
    in_section("Admin", Get, "/api/admin/mappings/{id}/history/{version}", "adminFindMappingVersion", "Show any mapping as it was")
        .about(VERSION)
        .gives(Data("AdminMappingVersion"), "Version found").refuses(&["NotFound"]),
    in_section("Admin", Post, "/api/admin/users", "adminCreateUser", "Make an account")
        .about("Without a password, `invitation` has a one-time token, which is shown only here: with it the user sets the first password (`POST /api/auth/reset`) within 7 days.")
        .takes("UserInput").gives(New("InvitedUser"), "User created").refuses(&["Conflict"]),
    in_section("Admin", Get, "/api/admin/users", "adminListUsers", "List all accounts")
        .about("Pages in ascending order of ids.")
        .gives(List("User"), "Users found"),
    in_section("Admin", Get, "/api/admin/users/{id}", "adminFindUser", "Show any account")
        .about("Never shows a password or its hash.")
        .gives(Record("User"), "User found").refuses(&["NotFound"]),
    in_section("Admin", Put, "/api/admin/users/{id}", "adminUpdateUser", "Save an edited account: its role, its rights, and whether it is disabled").about(LAST_ADMIN)
        .takes("UserChanges").gives(Changed("User"), "User updated").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Patch, "/api/admin/users/{id}", "adminPatchUser", "Change a user's role or rights, or disable or enable the account").about(LAST_ADMIN)
        .takes("UserChanges").gives(Changed("User"), "User updated").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Get, "/api/admin/users/{id}/history", "adminListUserVersions", "Show the history of any account")
        .about(HISTORY)
        .gives(List("UserVersion"), "Versions found").refuses(&["NotFound"]),
    in_section("Admin", Get, "/api/admin/users/{id}/history/{version}", "adminFindUserVersion", "Show any account as it was")
        .about(VERSION)
        .gives(Data("UserVersion"), "Version found").refuses(&["NotFound"]),
    in_section("Admin", Post, "/api/admin/users/{id}/reset", "adminResetPassword", "Make a one-time token for a forgotten password")
        .about("Shown only here, good once within 24 hours (`POST /api/auth/reset`). An earlier one ends. An account that never had a password gets a new invitation, good for 7 days. 409 for a disabled account.")
        .gives(Made("OneTimeToken"), "One-time token created").refuses(&["NotFound", "Conflict"]),
    in_section("Admin", Delete, "/api/admin/users/{id}/totp", "adminRemoveTotp", "Take a user's second factor away")
        .about("For a lost phone. Ends all sessions of the user. 403 for the admin's own.")
        .gives(Nothing("deleted"), "Second factor removed").refuses(&["NotFound"]),
    in_section("Admin", Post, "/api/admin/users/{id}/transfer", "adminTransferPatients", "Hand all patients of a user over to another one")
        .about("For somebody who leaves. Deleted patients go along, and are not counted. Many patients move in several transactions, each of them whole, and the answer comes when all have moved; a request that ends half way can be sent again. 409 if the user is disabled or the same.")
        .takes("Transfer").gives(Renewed("Transferred"), "Patients transferred").refuses(&["NotFound", "Conflict"]),
    in_section("Admin", Post, "/api/admin/users/{id}/unlock", "adminUnlockUser", "Unlock an account: reset its count of failed logins")
        .about("The user can log in again at once; the password stays.")
        .gives(Changed("User"), "User unlocked").refuses(&["NotFound"]),
    in_section("Admin", Delete, "/api/admin/users/{id}/sessions", "adminEndSessions", "End all sessions of a user")
        .about("Their tokens are refused from the next request on. The user can log in again.")
        .gives(Nothing("deleted"), "Sessions ended").refuses(&["NotFound"]),
    in_section("Admin", Post, "/api/admin/groups", "adminCreateGroup", "Make a care group")
        .about("Names are unique without case. The new group has no members.")
        .takes("GroupInput").gives(New("Group"), "Care group created").refuses(&["Conflict"]),
    in_section("Admin", Get, "/api/admin/groups", "adminListGroups", "List all care groups")
        .about("Pages in ascending order of ids.")
        .gives(List("Group"), "Care groups found"),
    in_section("Admin", Get, "/api/admin/groups/{id}", "adminFindGroup", "Show a care group")
        .about("Who is in it is at `/api/admin/groups/{id}/members`.")
        .gives(Record("Group"), "Care group found").refuses(&["NotFound"]),
    in_section("Admin", Put, "/api/admin/groups/{id}", "adminUpdateGroup", "Save an edited care group")
        .about("Only the name can be changed.")
        .takes("GroupChanges").gives(Changed("Group"), "Care group updated").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Patch, "/api/admin/groups/{id}", "adminPatchGroup", "Rename a care group")
        .about("Only the name can be changed.")
        .takes("GroupChanges").gives(Changed("Group"), "Care group updated").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Delete, "/api/admin/groups/{id}", "adminDeleteGroup", "Delete a care group")
        .about("Its members no longer see each other's patients. 409 while a member owns patients, unless `force=true` is sent.")
        .gives(Nothing("deleted"), "Care group deleted").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Get, "/api/admin/groups/{id}/members", "adminListMembers", "List the members of a care group")
        .about("Pages in ascending order of the users' ids.")
        .gives(List("Member"), "Members found").refuses(&["NotFound"]),
    in_section("Admin", Put, "/api/admin/groups/{id}/members/{user_id}", "adminAddMember", "Add a user to a care group")
        .about("Somebody who is a member stays one. A group has at most 200 members, and a user is in at most 8 groups: 409.")
        .gives(Renewed("Member"), "Member added").refuses(&["NotFound", "Conflict"]),
    in_section("Admin", Delete, "/api/admin/groups/{id}/members/{user_id}", "adminRemoveMember", "Take a user out of a care group")
        .about("409 while the member owns patients, unless `force=true` is sent: the others no longer see these.")
        .gives(Nothing("deleted"), "Member removed").refuses(&["NotFound", "Conflict"]),
    in_section("Admin", Get, "/api/admin/emergency-access", "adminListEmergencyAccess", "List the emergency access of all users")
        .about("Pages in ascending order of ids. `reviewed=false` lists what waits for a review.")
        .gives(List("EmergencyGrant"), "Emergency access found"),
    in_section("Admin", Post, "/api/admin/emergency-access/{id}/review", "adminReviewEmergencyAccess", "Review emergency access")
        .about("Once, and by an admin who is not the user: 409 if it was reviewed, 403 for your own.")
        .takes("EmergencyReview").gives(Renewed("EmergencyGrant"), "Emergency access reviewed").refuses(&["Forbidden", "NotFound", "Conflict"]),
    in_section("Admin", Get, "/api/admin/audit", "listAuditEntries", "List the audit trail")
        .about_table("Newest first. The service never changes or removes an entry. With `Accept: text/csv` the same page is CSV.")
        .gives(List("AuditEntry"), "Audit entries found"),

    in_section("Service", Get, "/healthz", "healthz", "Check that the process answers").about("Does not use the database.")
        .gives(Nothing("success"), "The process answers"),
    in_section("Service", Get, "/readyz", "readyz", "Check that the database answers and its schema is up to date")
        .about("503 if the database cannot be reached or its migrations are not applied.")
        .gives(Nothing("success"), "The database answers").refuses(&["Busy"]),
    in_section("Service", Get, "/metrics", "metrics", "Metrics in the Prometheus text format")
        .about("Counters and times of requests, the pool, queues and memory. They name no person.")
        .gives(Page("text/plain"), ""),
    in_section("Service", Get, "/openapi.json", "openapi", "This document")
        .about("OpenAPI 3.1. `healthcare-backend openapi --version 3.0` prints it for programs that read no later version.")
        .gives(Page("application/json"), ""),
    in_section("Service", Get, "/docs", "docs", "This document as a web page")
        .about("One page that needs nothing from elsewhere: read the contract, log in, try any call.")
        .gives(Page("text/html"), ""),
    in_section("Service", Get, "/", "home", "Go to the web page")
        .about("A browser that is sent to the service arrives at the documentation.")
        .gives(Elsewhere, "`Location` is `/docs`."),
];

const PARTIAL: &str = "Changes the fields that are sent and leaves the others as they are; `null` clears an optional field. A request that changes \
                       nothing writes nothing: the version stays the same, and the audit trail gets no entry. Read-only fields may be \
                       sent back and are ignored; a request with nothing but read-only fields is refused.";
const HISTORY: &str = "Newest first. The first version is the record as it is now; if it is deleted, `record` is null there. `at` is when a version began, \
                       and `actor_id` who made it; it is null if nobody was logged in. Who may read the record may read its history; if it is deleted, \
                       who owned it may.";
const VERSION: &str = "One version of the history. 404 for a version that never was.";
const LAST_ADMIN: &str = "The last enabled admin cannot be demoted or disabled: 409. Disabling an account ends its sessions, its one-time tokens and its emergency access. \
                          Without `may_break_glass` the user's emergency access ends, too. \
                          Name and e-mail address can be changed only while the account is `invited`; otherwise they are ignored.";
const PROFILE: &str = "A new e-mail address needs `current_password` beside it, and ends your other sessions and one-time tokens. A wrong \
                       password counts as a failed login. The other fields of an account may be sent back and are ignored.";
