"""What is known of the fields of built-in kinds: how their values are written, which are maps, which empty ones are not stored.

The rules go by names, so that they hold for a pod template wherever it is. They were read off k8s.io/api 0.37. The tests hold
them against the OpenAPI documents of a real API server; only the sets of empty values are not in those documents.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from guard.base.codec import Json, is_array

# Names of fields from the object down: a list adds none, a key of a map is `*`.
Names: TypeAlias = tuple[str, ...]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _endings(text: str) -> frozenset[Names]:
    return frozenset(tuple(one.split(".")) for one in text.split())


GROUPS: Final = frozenset({""}) | _names("""
    admissionregistration.k8s.io apiextensions.k8s.io apiregistration.k8s.io apps authentication.k8s.io authorization.k8s.io
    autoscaling batch certificates.k8s.io coordination.k8s.io discovery.k8s.io events.k8s.io flowcontrol.apiserver.k8s.io
    internal.apiserver.k8s.io lifecycle.k8s.io networking.k8s.io node.k8s.io policy rbac.authorization.k8s.io resource.k8s.io
    scheduling.k8s.io storage.k8s.io storagemigration.k8s.io
""")
CRD: Final = "apiextensions.k8s.io"
DRA: Final = "resource.k8s.io"

# The API server rounds resource lists up to thousandths, and other quantities to billionths.
_RESOURCE_LISTS: Final = _endings("""
    resources.limits.* resources.requests.* spec.overhead.* spec.hard.* spec.capacity.* inlineVolumeSpec.capacity.*
    limits.default.* limits.defaultRequest.* limits.max.* limits.min.* limits.maxLimitRequestRatio.*
""")
_QUANTITIES: Final = _endings("""
    emptyDir.sizeLimit resourceFieldRef.divisor target.value target.averageValue scaleUp.tolerance scaleDown.tolerance
    overhead.podFixed.* counters.*.value capacity.*.value capacity.requests.* requestPolicy.default requestPolicy.validValues
    validRange.min validRange.max validRange.step
    mapping.capacityMultiplier mapping.deviceMultiplier *.overhead.perContainer *.overhead.perPod
""")
_STORAGE_QUANTITIES: Final = _endings("capacity maximumVolumeSize")
# Most fields are told apart by their last name alone.
_QUANTITY_NAMES: Final = frozenset(ending[-1] for ending in _RESOURCE_LISTS | _QUANTITIES | _STORAGE_QUANTITIES)
_TIMES: Final = _names("""
    creationTimestamp deletionTimestamp timeAdded firstTimestamp lastTimestamp deprecatedFirstTimestamp deprecatedLastTimestamp
""")
_MICRO_TIMES: Final = _names("acquireTime renewTime eventTime lastObservedTime")
_BYTES: Final = frozenset(
    {
        ("Secret", ("data", "*")),
        ("ConfigMap", ("binaryData", "*")),
        ("CertificateSigningRequest", ("spec", "request")),
        ("PodCertificateRequest", ("spec", "stubPKCS10Request")),
    }
)

_MAPS: Final = _names("""
    annotations attestations attributes binaryData capacity counters data default defaultRequest definitions dependencies
    deprecatedTopology extra hard labels limits matchLabels max maxLimitRequestRatio min nodeAllocatableResources nodeSelector
    options overhead parameters patternProperties podFixed properties requests stringData unverifiedUserAnnotations
    userAnnotations volumeAttributes
""")
_NO_MAPS: Final = _endings("devices.requests dnsConfig.options exactly.capacity firstAvailable.capacity")
_NO_MAPS_IN: Final = frozenset(
    {
        ("LimitRange", ("spec", "limits")),
        ("RuntimeClass", ("overhead",)),
        ("IngressClass", ("spec", "parameters")),
    }
)

# Fields without a Go pointer, for which false, or zero, and absent are one; and text that is stored empty.
_FALSE_LEFT_OUT: Final = _names("""
    chapAuthDiscovery chapAuthSession clusterScope deprecated exclusiveMaximum exclusiveMinimum globalDefault hostIPC hostNetwork
    hostPID insecureSkipTLSVerify nullable paused preserveUnknownFields publishNotReadyAddresses readOnly sslEnabled stdin
    stdinOnce tty uniqueItems unschedulable x-kubernetes-embedded-resource x-kubernetes-int-or-string
""")
_FALSE_KEPT: Final = _endings("azureDisk.readOnly volumes.csi.readOnly")
_ZERO_LEFT_OUT: Final = _names("""
    handSize healthCheckNodePort hostPort initialDelaySeconds matchingPrecedence minReadySeconds nodePort number queueLengthLimit
    queues
""")
_ZERO_LEFT_OUT_THERE: Final = _endings("""
    additionalPrinterColumns.priority awsElasticBlockStore.partition gcePersistentDisk.partition exactly.count ports.targetPort
    firstAvailable.count
    livenessProbe.timeoutSeconds livenessProbe.periodSeconds livenessProbe.successThreshold livenessProbe.failureThreshold
    readinessProbe.timeoutSeconds readinessProbe.periodSeconds readinessProbe.successThreshold readinessProbe.failureThreshold
    startupProbe.timeoutSeconds startupProbe.periodSeconds startupProbe.successThreshold startupProbe.failureThreshold
""")
_EMPTY_KEPT: Final = _names("""
    appProtocol endpoints holderIdentity hostnameOverride ingressClassName loadBalancerClass localhostProfile managedBy
    reportingComponent reportingInstance runtimeClassName service serviceName string timeZone volumeAttributesClassName
""")
_EMPTY_KEPT_THERE: Final = _endings("""
    httpHeaders.value sysctls.value options.value hostPath.type volumes.csi.fsType azureDisk.fsType local.fsType
    dataSource.apiGroup dataSourceRef.apiGroup dataSourceRef.namespace resource.apiGroup grpc.service
    clientConfig.service.path tokenRequests.audience
""")


def _ends(at: Names, endings: frozenset[Names]) -> bool:
    return at[-2:] in endings or at[-3:] in endings


def in_resource_list(at: Names) -> bool:
    return at[-3:] in _RESOURCE_LISTS


def is_quantity(at: Names, group: str, kind: str) -> bool:
    """Whether a field is a quantity; of a map of them, each entry."""
    if at[-1] not in _QUANTITY_NAMES:
        return False
    if kind == "CSIStorageCapacity":
        return at in _STORAGE_QUANTITIES
    return group != CRD and (in_resource_list(at) or _ends(at, _QUANTITIES))


def is_time(at: Names) -> bool:
    return at[-1] in _TIMES


def is_micro_time(at: Names) -> bool:
    return at[-1] in _MICRO_TIMES


def is_bytes(at: Names, kind: str) -> bool:
    """Whether a field holds bytes, as base64."""
    return at[-1] == "caBundle" or (kind, at) in _BYTES


def is_map(at: Names, group: str, kind: str) -> bool:
    """Whether an object there has keys of its owner's choice, and no fields."""
    name = at[-1]
    if name == "selector":
        return at == ("spec", "selector") and kind in {"Service", "ReplicationController"}
    if name not in _MAPS:
        return False
    if at[-2:] in _NO_MAPS or (kind, at) in _NO_MAPS_IN:
        return False
    return group != DRA or name not in {"nodeSelector", "overhead"}


def is_free(at: Names, group: str, kind: str) -> bool:
    """Whether anybody's JSON stands there."""
    name = at[-1]
    if group == CRD:
        return name in {"default", "example", "enum"}
    return (group == DRA and name == "parameters") or (kind == "ControllerRevision" and at == ("data",))


def is_left_out(value: Json, at: Names, kind: str) -> bool:
    """Whether an empty value, objects apart, is not stored."""
    name = at[-1]
    if value is False:
        return name in _FALSE_LEFT_OUT and not _ends(at, _FALSE_KEPT)
    if value == "":
        return not (name in _EMPTY_KEPT or _ends(at, _EMPTY_KEPT_THERE) or _is_pointer(at, kind))
    if is_array(value):
        return True
    return name in _ZERO_LEFT_OUT or _ends(at, _ZERO_LEFT_OUT_THERE) or (kind, at) == ("Event", ("count",))


def _is_pointer(at: Names, kind: str) -> bool:
    """A claim may ask for no class at all; a port of an EndpointSlice may have an empty name."""
    return (at[-1] == "storageClassName" and kind != "PersistentVolume") or at == ("ports", "name")
