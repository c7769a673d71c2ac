import com.fasterxml.jackson.core.JsonProcessingException;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.AccountsApi;
import org.openapitools.client.api.PatientsApi;
import org.openapitools.client.model.FieldErrors;
import org.openapitools.client.model.Login;
import org.openapitools.client.model.PatientChanges;
import org.openapitools.client.model.PatientInput;
import org.openapitools.client.model.Registration;

/** A session through the client that openapi-generator makes as `java`, with the library `native`. */
public final class Session {
    private static final Pattern NEXT = Pattern.compile("[?&]after=(\\d+)");

    private interface Request {
        void send() throws ApiException;
    }

    public static void main(String[] arguments) throws ApiException, JsonProcessingException {
        String email = "java@example.org", password = "correct horse battery";
        ApiClient client = new ApiClient();
        client.updateBaseUri(System.getenv("BASE_URL"));
        AccountsApi accounts = new AccountsApi(client);
        accounts.register(new Registration().name("Java").email(email).password(password));
        String token = accounts.login(new Login().email(email).password(password)).getData().getToken();
        client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + token));
        PatientsApi patients = new PatientsApi(client);

        List<Long> ids = new ArrayList<>(), seen = new ArrayList<>();
        String etag = "";
        for (int count = 0; count < 5; count++) {
            var created = patients.createPatientWithHttpInfo(input(), null);
            etag = created.getHeaders().get("etag").get(0);
            ids.add(created.getData().getData().getId());
        }
        for (Long after = 0L; after != null; ) {
            var page = patients.listPatientsWithHttpInfo(2, after == 0 ? null : after, null, null, null, null, null, null, null, null, null);
            page.getData().getData().forEach(patient -> seen.add(patient.getId()));
            var link = NEXT.matcher(page.getHeaders().getOrDefault("link", List.of("")).get(0));
            after = link.find() ? Long.valueOf(link.group(1)) : null;
        }
        must(seen.equals(ids), seen + " " + ids);

        String version = etag;
        PatientChanges changes = new PatientChanges().phone("+49 30 1234567");
        Long id = ids.get(4);
        must(patients.patchPatient(id, changes, version).getData().getPhone().equals("+49 30 1234567"), "the new number");
        refusal(412, () -> patients.patchPatient(id, changes, version));
        String body = refusal(400, () -> patients.createPatient(input().phone("12"), null));
        FieldErrors refused = ApiClient.createDefaultObjectMapper().readValue(body, FieldErrors.class);
        must(refused.getData().getErrors().get(0).getField().equals("phone"), body);
        refusal(404, () -> patients.findPatient(999_999L, null));
    }

    private static PatientInput input() {
        return new PatientInput().name("Zoë Müller").dateOfBirth(LocalDate.of(1990, 4, 23)).gender(PatientInput.GenderEnum.FEMALE);
    }

    /** The body of the refusal of a request, which has this status. */
    private static String refusal(int status, Request request) {
        try {
            request.send();
        } catch (ApiException refused) {
            must(refused.getCode() == status, refused.getMessage());
            return refused.getResponseBody();
        }
        throw new AssertionError("it was not refused");
    }

    private static void must(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
