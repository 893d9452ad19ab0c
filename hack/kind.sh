#!/usr/bin/env bash
# From a machine with Docker to a finished micro run in the dashboard of Kubeflow Pipelines, on kind.
#
#   hack/kind.sh          set up what is missing, then start a run and follow it
#   hack/kind.sh down     delete the cluster
#
# NOT RUN BY ANY TEST: the machines that test this repository have no Docker. Only shellcheck reads it, and the manifests
# that it applies are rendered and validated. Say so where it fails.
#
# Needs docker with buildx, kind (0.24 or later: older ones enforce no network policy), kubectl (1.24 or later), curl;
# 4 CPUs and 12 GB for Docker; the network, for Docker Hub, ghcr.io, GitHub, PyPI and PyTorch's index.
# May be called again at any time: every step looks first, or replaces what it made.
#
# Environment
#   CLUSTER       name of the kind cluster (alma)
#   KFP_VERSION   Kubeflow Pipelines to install, a tag of kubeflow/pipelines (2.17.0)
set -euo pipefail
unset CDPATH # by which cd goes elsewhere, and says where
cd "$(dirname "$0")/.."

cluster=${CLUSTER:-alma}
kfp_version=${KFP_VERSION:-2.17.0}
pipeline=pipelines/compiled/alma-micro.yaml
namespace=kubeflow # a standalone KFP runs pipelines in its own namespace and nowhere else
api_port=18888

say() { printf '\n== %s\n' "$*" >&2; }
fail() { printf '%s: %s\n' "$0" "$*" >&2; exit 2; }
k() { kubectl --context "kind-$cluster" --namespace "$namespace" "$@"; }

check_tools() {
    local tool
    for tool in docker kind kubectl curl; do
        command -v "$tool" >/dev/null || fail "$tool is not installed"
    done
    docker info >/dev/null 2>&1 || fail "docker does not answer; is its service running, and may you use it?"
    docker buildx version >/dev/null 2>&1 || fail "docker has no buildx"
    [[ -f $pipeline ]] || fail "$pipeline is missing; it is committed, so: git checkout $pipeline"
    ! grep --quiet 'accelerator' "$pipeline" || fail "$pipeline asks for GPUs, and kind has none: compile it with
    python -m pipelines compile examples/micro.toml --set placement.generate.gpus=0 --set placement.train.gpus=0 --output $pipeline"
}

create_cluster() {
    if kind get clusters 2>/dev/null | grep --quiet --line-regexp "$cluster"; then
        say "cluster $cluster is there"
    else
        say "creating cluster $cluster"
        kind create cluster --name "$cluster" --wait 3m
    fi
}

install_kfp() {
    local source=github.com/kubeflow/pipelines/manifests/kustomize
    say "installing Kubeflow Pipelines $kfp_version (minutes, the first time)"
    k apply --kustomize "$source/cluster-scoped-resources?ref=$kfp_version"
    k wait --for=condition=established --timeout=60s crd/applications.app.k8s.io
    k apply --kustomize "$source/env/platform-agnostic?ref=$kfp_version"
    k wait --for=condition=available --timeout=20m deployment --all
}

build_images() {
    say "building images (CPU builds; minutes, the first time)"
    # A run whose evaluators hold exams takes one more, harness-cpu, loaded as alma-harness:kind-cpu.
    REGISTRY=localhost VERSION=kind docker buildx bake --file images/docker-bake.hcl --load base trl-cpu submit
    local image
    for image in alma-base:kind alma-trl:kind-cpu alma-submit:kind; do
        kind load docker-image --name "$cluster" "localhost/$image"
    done
}

# The login of KFP's object store under the names that alma's pods take. It passes through pipes alone.
copy_login() {
    say "giving the run KFP's object store"
    {
        printf 'AWS_ACCESS_KEY_ID='
        k get secret mlpipeline-minio-artifact --output 'jsonpath={.data.accesskey}' | base64 --decode
        printf '\nAWS_SECRET_ACCESS_KEY='
        k get secret mlpipeline-minio-artifact --output 'jsonpath={.data.secretkey}' | base64 --decode
        printf '\n'
    } | k create secret generic alma-s3 --from-env-file=/dev/stdin --dry-run=client --output yaml |
        k apply --server-side --force-conflicts --filename -
}

apply_manifests() {
    say "applying manifests/overlays/kind"
    k apply --kustomize manifests/overlays/kind
    # On the server: a client's apply keeps a copy in an annotation, which takes 256 KiB only.
    k create configmap alma-pipeline --from-file=pipeline.yaml="$pipeline" --dry-run=client --output yaml |
        k apply --server-side --force-conflicts --filename -
}

# For people who start runs in the dashboard; the Job brings its own.
upload_pipeline() {
    local version api=http://localhost:$api_port/apis/v2beta1 forward answer
    version=$(sha256sum "$pipeline" | cut -c1-12)
    say "uploading pipeline alma-micro, version $version"
    k port-forward service/ml-pipeline "$api_port:8888" >/dev/null &
    forward=$!
    # shellcheck disable=SC2064 # this port-forward, now
    trap "kill $forward 2>/dev/null || true" EXIT
    curl --silent --show-error --fail --retry 30 --retry-connrefused --retry-delay 1 --output /dev/null "$api/healthz"
    answer=$(curl --silent --show-error --form "uploadfile=@$pipeline" "$api/pipelines/upload?name=alma-micro")
    case $answer in
        *'"pipeline_id"'*) ;;
        *[Aa]lready*exist*)
            local id
            id=$(curl --silent --show-error --fail "$api/pipelines/names/alma-micro" |
                sed -n 's/.*"pipeline_id": *"\([^"]*\)".*/\1/p' | head -n 1)
            [[ -n $id ]] || fail "the pipeline alma-micro is there, but the API does not tell its id"
            answer=$(curl --silent --show-error --form "uploadfile=@$pipeline" \
                "$api/pipelines/upload_version?pipelineid=$id&name=$version")
            case $answer in
                *'"pipeline_version_id"'* | *[Aa]lready*exist*) ;;
                *) fail "KFP refuses the version: $answer" ;;
            esac
            ;;
        *) fail "KFP refuses the pipeline: $answer" ;;
    esac
    kill "$forward" 2>/dev/null || true
    trap - EXIT
}

run_and_follow() {
    local job
    job=$(k get jobs --selector app.kubernetes.io/name=alma-submit \
        --output 'jsonpath={range .items[?(@.status.active>0)]}{.metadata.name}{"\n"}{end}' | head -n 1)
    if [[ -n $job ]]; then
        say "job $job is still running"
    else
        job=$(kubectl kustomize manifests/overlays/kind/job | sed 's/^  name: alma$/  generateName: alma-/' |
            k create --filename - --output 'jsonpath={.metadata.name}')
        say "started job $job"
    fi
    cat >&2 <<TEXT
   dashboard   kubectl --context kind-$cluster -n $namespace port-forward service/ml-pipeline-ui 8080:80
               http://localhost:8080
   stop        kubectl --context kind-$cluster -n $namespace delete job $job
   Ctrl-C ends this log, not the run.
TEXT
    k wait --for=condition=ready --timeout=5m pod --selector "batch.kubernetes.io/job-name=$job" >&2 || true
    k logs --follow "job/$job"
    if k wait --for=condition=complete --timeout=60s "job/$job" >/dev/null 2>&1; then
        say "done"
    else
        k describe job "$job" >&2
        printf '%s: the run has not succeeded; see above and the dashboard\n' "$0" >&2
        exit 1
    fi
}

case ${1:-up} in
    up)
        check_tools
        create_cluster
        install_kfp
        build_images
        copy_login
        apply_manifests
        upload_pipeline
        run_and_follow
        ;;
    down) kind delete cluster --name "$cluster" ;;
    *) fail "$1: expected nothing, or down" ;;
esac
