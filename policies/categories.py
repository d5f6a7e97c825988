"""The keys of the fideslang 3 taxonomy of data categories: a closed list, so that a misspelt category is noticed.

Fideslang is the taxonomy of the Ethyca project (https://ethyca.github.io/fideslang/), here as of release 3.1. A key may
be refined below one of these only by agreement, so an unknown one is a warning and not a mistake.
"""

from __future__ import annotations

from policies.located import meant

CATEGORIES = frozenset(
    (
        "system",
        "system.authentication",
        "system.operations",
        "user",
        "user.account",
        "user.account.settings",
        "user.account.username",
        "user.authorization",
        "user.authorization.biometric",
        "user.authorization.credentials",
        "user.authorization.password",
        "user.behavior",
        "user.behavior.browsing_history",
        "user.behavior.media_consumption",
        "user.behavior.purchase_history",
        "user.behavior.search_history",
        "user.biometric",
        "user.biometric.fingerprint",
        "user.biometric.health",
        "user.biometric.retinal",
        "user.biometric.voice",
        "user.childrens",
        "user.contact",
        "user.contact.address",
        "user.contact.address.city",
        "user.contact.address.country",
        "user.contact.address.postal_code",
        "user.contact.address.state",
        "user.contact.address.street",
        "user.contact.email",
        "user.contact.fax_number",
        "user.contact.organization",
        "user.contact.phone_number",
        "user.contact.url",
        "user.content",
        "user.content.private",
        "user.content.public",
        "user.content.self_image",
        "user.criminal_history",
        "user.demographic",
        "user.demographic.age_range",
        "user.demographic.date_of_birth",
        "user.demographic.gender",
        "user.demographic.language",
        "user.demographic.marital_status",
        "user.demographic.political_opinion",
        "user.demographic.profile",
        "user.demographic.race_ethnicity",
        "user.demographic.religious_belief",
        "user.demographic.sexual_orientation",
        "user.device",
        "user.device.cookie",
        "user.device.cookie_id",
        "user.device.device_id",
        "user.device.ip_address",
        "user.financial",
        "user.financial.bank_account",
        "user.financial.credit_card",
        "user.government_id",
        "user.government_id.birth_certificate",
        "user.government_id.drivers_license_number",
        "user.government_id.immigration",
        "user.government_id.national_identification_number",
        "user.government_id.passport_number",
        "user.government_id.vehicle_registration",
        "user.health_and_medical",
        "user.health_and_medical.genetic",
        "user.health_and_medical.insurance_beneficiary_id",
        "user.health_and_medical.record_id",
        "user.job_title",
        "user.location",
        "user.location.imprecise",
        "user.location.precise",
        "user.name",
        "user.name.first",
        "user.name.last",
        "user.payment",
        "user.privacy_preferences",
        "user.sensor",
        "user.social",
        "user.telemetry",
        "user.unique_id",
        "user.unique_id.pseudonymous",
        "user.user_sensor",
        "user.workplace",
    )
)


def is_known(category: str) -> bool:
    """Whether the taxonomy has this key."""
    return category in CATEGORIES


def suggestion(category: str) -> str:
    """What a key that the taxonomy does not have may have meant: the nearest key, or the one above it; or nothing."""
    above = category
    while "." in above and above not in CATEGORIES:
        above = above.rpartition(".")[0]
    return meant(category, CATEGORIES) or (f"the nearest key is `{above}`" if above in CATEGORIES else "")


def is_within(category: str, ancestor: str) -> bool:
    """Whether a category is another or lies below it."""
    return category == ancestor or category.startswith(f"{ancestor}.")
