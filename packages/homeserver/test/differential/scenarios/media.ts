import type { Scenario } from "../story.ts";

const png = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);

export const media: Scenario[] = [
  {
    name: "media",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      await alice.get("/_matrix/media/v3/config");
      const upload = (query: string, bytes: Uint8Array | string, type: string, shows?: string) =>
        alice.call("POST", `/_matrix/media/v3/upload${query}`, bytes, shows, { "content-type": type });
      const text = await upload("?filename=notes.txt", "some notes", "text/plain");
      const id = text.text("content_uri").replace("mxc://", "");
      const path = (kind: string, what: string) => `/_matrix/client/v1/media/${kind}/${what}`;
      await bob.get(path("download", id));
      await bob.get(path("download", `${id}/other%20name.txt`));
      await story.nobody.get(path("download", id));
      await story.nobody.get(`/_matrix/media/v3/download/${id}`, "the old path, without a token");
      const image = (await upload("", png, "image/png")).text("content_uri").replace("mxc://", "");
      await bob.get(path("download", image));
      const page = (await upload("?filename=x.html", "<script>1</script>", "text/html"))
        .text("content_uri")
        .replace("mxc://", "");
      await bob.get(path("download", page), "a page is never shown");
      await bob.get(path("download", `${story.serverName}/nosuchmedia`));
      await bob.get(path("thumbnail", `${story.serverName}/nosuchmedia?width=10&height=10`));
      await bob.get(path("thumbnail", image), "without a size");
      await bob.get(path("thumbnail", `${image}?width=32&height=32&method=scale`));
      await alice.call("POST", "/_matrix/media/v3/upload", new Uint8Array(0), "nothing", {
        "content-type": "text/plain",
      });
      await story.nobody.call("POST", "/_matrix/media/v3/upload", "x", "without a token", {
        "content-type": "text/plain",
      });
    },
  },
];
