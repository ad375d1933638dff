// Sends the form that takes a sign-in to a service provider; without script
// its button does.

document.querySelector("form[data-post]")?.submit();
