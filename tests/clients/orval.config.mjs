// What orval makes; tests/clients/run.sh says of what, and where.
export default {
  clinic: { input: process.env.DOCUMENT, output: { target: process.env.TARGET, client: "fetch", baseUrl: process.env.BASE_URL } },
};
