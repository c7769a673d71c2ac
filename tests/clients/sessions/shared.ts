// What the TypeScript sessions share.

export const { BASE_URL: baseUrl = "", ADMIN_TOKEN: adminToken = "" } = process.env;
export const password = "correct horse battery";
export const newPatient = { name: "Zoë Müller", date_of_birth: "1990-04-23", gender: "female" } as const;

/** Where the next page begins, as the `Link` header says. */
export const nextPage = (link: string | null | undefined): number | undefined => {
  const after = /[?&]after=(\d+)/.exec(link ?? "")?.[1];
  return after === undefined ? undefined : Number(after);
};
