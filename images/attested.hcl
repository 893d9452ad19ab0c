# Beside docker-bake.hcl, for images that are published: each gets a bill of materials (SPDX) and how it was built (SLSA).
# Wants a builder that can attest (docker buildx create --driver docker-container), and a registry to push to:
#   docker buildx bake --file images/docker-bake.hcl --file images/attested.hcl --push
# Read them with: docker buildx imagetools inspect --format '{{json .SBOM.SPDX}}' IMAGE     ('{{json .Provenance.SLSA}}')

target "_common" {
  attest = [
    "type=sbom",
    "type=provenance,mode=max",
  ]
}
