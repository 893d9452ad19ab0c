# The images, by Docker's buildx, from the root of the repository:
#   docker buildx bake --file images/docker-bake.hcl            base, trl, vllm, harness and submit, for GPUs
#   docker buildx bake --file images/docker-bake.hcl cpu        trl, vllm and harness with PyTorch's CPU build instead
#   REGISTRY=registry.example.com/team VERSION=0.1.0 docker buildx bake --file images/docker-bake.hcl --push

variable "REGISTRY" {
  default = "localhost"
}

variable "VERSION" {
  default = "0.1.0"
}

variable "REVISION" {
  default = "unknown"
}

variable "SOURCE" {
  default = "unknown"
}

# With a digest (name:tag@sha256:...) two builds stand on the same bytes.
variable "PYTHON_IMAGE" {
  default = "docker.io/library/python:3.11-slim-bookworm"
}

# Files that the build may read and keeps nowhere (images/install.sh): package indexes; certificate authorities.
variable "INDEX" {
  default = "/dev/null"
}

variable "CA" {
  default = "/dev/null"
}

# PyTorch's page of CPU builds, or a copy of it.
variable "TORCH_CPU" {
  default = "https://download.pytorch.org/whl/cpu/torch/"
}

group "default" {
  targets = ["base", "trl", "vllm", "harness", "submit"]
}

group "cpu" {
  targets = ["base", "trl-cpu", "vllm-cpu", "harness-cpu", "submit"]
}

target "_common" {
  context   = "."
  platforms = ["linux/amd64"] # what the lock files were resolved for
  args = {
    PYTHON_IMAGE = PYTHON_IMAGE
    REVISION     = REVISION
    SOURCE       = SOURCE
    VERSION      = VERSION
  }
  secret = ["id=index,src=${INDEX}", "id=ca,src=${CA}"]
}

target "_gpu" {
  inherits = ["_common"]
  args     = { VARIANT = "gpu" }
}

target "_cpu" {
  inherits = ["_common"]
  args     = { VARIANT = "cpu", TORCH_CPU = TORCH_CPU }
}

target "base" {
  inherits   = ["_common"]
  dockerfile = "images/base/Dockerfile"
  tags       = ["${REGISTRY}/alma-base:${VERSION}"]
}

target "submit" {
  inherits   = ["_common"]
  dockerfile = "images/submit/Dockerfile"
  tags       = ["${REGISTRY}/alma-submit:${VERSION}"]
}

target "trl" {
  inherits   = ["_gpu"]
  dockerfile = "images/trl/Dockerfile"
  tags       = ["${REGISTRY}/alma-trl:${VERSION}"]
}

target "trl-cpu" {
  inherits   = ["_cpu"]
  dockerfile = "images/trl/Dockerfile"
  tags       = ["${REGISTRY}/alma-trl:${VERSION}-cpu"]
}

target "vllm" {
  inherits   = ["_gpu"]
  dockerfile = "images/vllm/Dockerfile"
  tags       = ["${REGISTRY}/alma-vllm:${VERSION}"]
}

target "vllm-cpu" {
  inherits   = ["_cpu"]
  dockerfile = "images/vllm/Dockerfile"
  tags       = ["${REGISTRY}/alma-vllm:${VERSION}-cpu"]
}

target "harness" {
  inherits   = ["_gpu"]
  dockerfile = "images/harness/Dockerfile"
  tags       = ["${REGISTRY}/alma-harness:${VERSION}"]
}

target "harness-cpu" {
  inherits   = ["_cpu"]
  dockerfile = "images/harness/Dockerfile"
  tags       = ["${REGISTRY}/alma-harness:${VERSION}-cpu"]
}
