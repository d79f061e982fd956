//! Errors of the Lambda API: their names, statuses and bodies. Source: docs/spec/event-source-mapping.md 1.

use serde_json::{Map, Value};
use tailrace_mapping::MappingError;
use tailrace_wire::RestAnswer;

/// What an error is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    InvalidParameterValue,
    InvalidRequestContent,
    Validation,
    ResourceNotFound,
    ResourceConflict,
    ResourceInUse,
    TooManyRequests,
    RequestTooLarge,
    Service,
    /// The path is none of the API's.
    UnknownOperation,
    /// The operation is one of AWS and not here (ours).
    NotImplemented,
}

impl Class {
    /// Name and HTTP status.
    fn name_and_status(self) -> (&'static str, u16) {
        match self {
            Class::InvalidParameterValue => ("InvalidParameterValueException", 400),
            Class::InvalidRequestContent => ("InvalidRequestContentException", 400),
            Class::Validation => ("ValidationException", 400),
            Class::ResourceNotFound => ("ResourceNotFoundException", 404),
            Class::ResourceConflict => ("ResourceConflictException", 409),
            Class::ResourceInUse => ("ResourceInUseException", 400),
            Class::TooManyRequests => ("TooManyRequestsException", 429),
            Class::RequestTooLarge => ("RequestTooLargeException", 413),
            Class::Service => ("ServiceException", 500),
            Class::UnknownOperation => ("UnknownOperationException", 404),
            Class::NotImplemented => ("NotImplementedException", 501),
        }
    }

    /// The member that has the text: the models of the errors differ in it.
    fn message_member(self) -> &'static str {
        match self {
            Class::ResourceNotFound
            | Class::ResourceInUse
            | Class::Service
            | Class::UnknownOperation
            | Class::NotImplemented => "Message",
            _ => "message",
        }
    }

    /// Whose fault it is.
    fn fault(self) -> Option<&'static str> {
        match self {
            Class::Validation => None,
            Class::Service | Class::NotImplemented => Some("Service"),
            _ => Some("User"),
        }
    }
}

/// An error of the Lambda API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LambdaError {
    pub class: Class,
    pub message: String,
    /// Why there are too many requests.
    pub reason: Option<&'static str>,
}

impl LambdaError {
    pub fn new(class: Class, message: impl Into<String>) -> LambdaError {
        LambdaError { class, message: message.into(), reason: None }
    }

    /// As it goes out.
    pub fn answer(&self) -> RestAnswer {
        let mut body = Map::new();
        if let Some(fault) = self.class.fault() {
            body.insert("Type".to_owned(), fault.into());
        }
        body.insert(self.class.message_member().to_owned(), self.message.clone().into());
        if let Some(reason) = self.reason {
            body.insert("Reason".to_owned(), reason.into());
        }
        let (name, status) = self.class.name_and_status();
        let headers = vec![("x-amzn-errortype", name.to_owned())];
        RestAnswer { status, headers, body: Value::Object(body).to_string().into() }
    }
}

impl From<MappingError> for LambdaError {
    fn from(error: MappingError) -> LambdaError {
        let class = match &error {
            MappingError::InvalidParameterValue(_) => Class::InvalidParameterValue,
            MappingError::Validation(_) => Class::Validation,
            MappingError::Conflict { .. } => Class::ResourceConflict,
            MappingError::NotFound => Class::ResourceNotFound,
            MappingError::InUse | MappingError::Redriving => Class::ResourceInUse,
            MappingError::Unavailable(_) | MappingError::Internal(_) => Class::Service,
        };
        LambdaError::new(class, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spec 1, "Error wire form" and its casing trap.
    #[test]
    fn name_status_and_body_are_those_of_the_models() {
        let unavailable = || MappingError::Unavailable("full".to_owned());
        let cases: [(LambdaError, u16, &str, &str); 6] = [
            (
                MappingError::NotFound.into(),
                404,
                "ResourceNotFoundException",
                r#"{"Type":"User","Message":"The resource you requested does not exist."}"#,
            ),
            (
                MappingError::InUse.into(),
                400,
                "ResourceInUseException",
                r#"{"Type":"User","Message":"Cannot update the event source mapping because it is in use."}"#,
            ),
            (
                MappingError::InvalidParameterValue("Function does not exist".to_owned()).into(),
                400,
                "InvalidParameterValueException",
                r#"{"Type":"User","message":"Function does not exist"}"#,
            ),
            (
                MappingError::Validation("1 validation error detected: ...".to_owned()).into(),
                400,
                "ValidationException",
                r#"{"message":"1 validation error detected: ..."}"#,
            ),
            (unavailable().into(), 500, "ServiceException", r#"{"Type":"Service","Message":"full"}"#),
            (
                LambdaError {
                    reason: Some("ReservedFunctionConcurrentInvocationLimitExceeded"),
                    ..LambdaError::new(Class::TooManyRequests, "Rate Exceeded.")
                },
                429,
                "TooManyRequestsException",
                r#"{"Type":"User","message":"Rate Exceeded.","Reason":"ReservedFunctionConcurrentInvocationLimitExceeded"}"#,
            ),
        ];
        for (error, status, name, body) in cases {
            let answer = error.answer();
            let same = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
            assert_eq!((answer.status, &*answer.headers[0].1), (status, name));
            assert_eq!(same(&answer.body), same(body.as_bytes()));
        }
    }
}
